-- The type zoo as SQLite declares it: a declared type says what the values are, and keeps them as they are.
CREATE TABLE type_zoo (
    id INTEGER PRIMARY KEY NOT NULL, note TEXT,
    i2 SMALLINT, i4 INT4, i8 BIGINT,
    f4 REAL, f8 DOUBLE PRECISION,
    n53 TEXT_NUMERIC(5,3), n380 TEXT_NUMERIC(38,0), n3818 TEXT_NUMERIC(38,18), nfree TEXT_NUMERIC,
    cash TEXT_MONEY, flag BOOLEAN,
    c5 CHAR(5), vc VARCHAR(40), txt TEXT, b BLOB, bit1 TEXT_BIT(1), bit8 TEXT_BIT(8), vbit TEXT_VARBIT(16),
    d DATE, t TIME, t3 TIME(3), ttz TIMETZ, ts TIMESTAMP, ts3 TIMESTAMP(3), tstz TIMESTAMPTZ, iv INTERVAL,
    u UUID, j JSON, jb JSONB, x XML, e MOOD,
    ta TEXT[], ia INT[], na "NUMERIC(5,3)[]", ua UUID[], tsa TIMESTAMPTZ[], ia2 INT[],
    ip INET, net CIDR, mac MACADDR, r4 INT4RANGE, rts TSTZRANGE, pt POINT, tsv TSVECTOR,
    gen BIGINT GENERATED ALWAYS AS (i8 + 1) STORED,
    dflt TEXT NOT NULL DEFAULT 'none given'
);
