//! The bad files themselves, section by section.

/// What is changed, into what, and what must stand in the message: the place (line:column), what is wrong,
/// what to do.
pub(super) struct Bad {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) told: &'static [&'static str],
}

const fn bad(from: &'static str, to: &'static str, told: &'static [&'static str]) -> Bad {
    Bad { from, to, told }
}

/// Each is the minimal file with one thing changed.
pub(super) const CASES: &[Bad] = &[
    // The text.
    bad("name = \"orders\"\nregion", "name = \"orders\nregion", &["pipeline.toml:2:", "not TOML"]),
    bad("[sink]", "[sink", &["pipeline.toml:9:", "not TOML"]),
    bad("region = \"eu-west-1\"", "name = \"twice\"", &["pipeline.toml:3:1", "duplicate key"]),
    // Keys.
    bad("stream =", "straem =", &["pipeline.toml:6:1", "unknown key `straem`", "did you mean `stream`?"]),
    bad(
        "[sink]",
        "[limits]\nbatch = { lingr_ms = 5 }\n[sink]",
        &["pipeline.toml:10:11", "unknown key `lingr_ms`", "did you mean `linger_ms`?"],
    ),
    bad("[[table]]", "[[tables]]", &["pipeline.toml:12:3", "unknown key `tables`", "did you mean `table`?"]),
    bad(
        "key = [",
        "prio = 1\nkey = [",
        &["pipeline.toml:14:1", "unknown key `prio`", "one of `name`, `target`"],
    ),
    bad(
        "region = \"eu-west-1\"\n",
        "",
        &["pipeline.toml:1:1", "[pipeline] has no `region`", "write `region = ...`"],
    ),
    bad("key = [\"order_id\"]", "", &["pipeline.toml:12:1", "[[table]] has no `key`"]),
    bad("[sink]\nurl = \"sqlite://orders.db\"\n", "", &["there is no [sink]", "write [sink] with `url`"]),
    // Values.
    bad(
        "key = [",
        "priority = \"high\"\nkey = [",
        &["pipeline.toml:14:12", "invalid type: string \"high\", expected u32"],
    ),
    bad(
        "key = [",
        "deletes = \"ordred\"\nkey = [",
        &["pipeline.toml:14:11", "unknown value `ordred`", "did you mean `ordered`?"],
    ),
    bad(
        "stream =",
        "partitions = 0\nstream =",
        &["pipeline.toml:6:14", "invalid value: integer `0`", "nonzero"],
    ),
    bad(
        "[sink]",
        "[limits]\nvalue_bytes = \"16 MegaBits\"\n[sink]",
        &["pipeline.toml:10:15", "not a size; write it like \"8MiB\""],
    ),
    bad(
        "[sink]",
        "[limits]\nclock_skew = \"soon\"\n[sink]",
        &["pipeline.toml:10:14", "not a span of time; write it like \"10s\""],
    ),
    bad(
        "[sink]",
        "[limits]\nretry = { factor = 0.5 }\n[sink]",
        &["pipeline.toml:10:9", "`limits.retry.factor` is not between 1 and 100"],
    ),
    bad(
        "[sink]",
        "[limits]\nretry = { first_ms = 9000 }\n[sink]",
        &["pipeline.toml:10:9", "`limits.retry.max_ms` is less than `first_ms`"],
    ),
    bad(
        "[sink]",
        "[limits.plugin]\nmemory = \"1KiB\"\n[sink]",
        &["pipeline.toml:10:10", "`limits.plugin.memory` is too small", "at least 65536 bytes"],
    ),
    bad(
        "[sink]",
        "[metrics]\nlisten = \"9464\"\n[sink]",
        &["pipeline.toml:10:10", "not an address and port; write it like"],
    ),
    bad(
        "name = \"orders\"\nregion",
        "name = \"my orders\"\nregion",
        &["pipeline.toml:2:8", "`my orders` cannot be the name of a pipeline"],
    ),
    // The source.
    bad("\"CDC_US\"", "\"CDC.US\"", &["pipeline.toml:6:10", "`CDC.US` cannot be the name of a stream"]),
    bad(
        "{partition}",
        "{partitoin}",
        &["pipeline.toml:7:27", "unknown placeholder `{partitoin}`", "did you mean `partition`?"],
    ),
    bad("{partition}.>", ">.{table}", &["pipeline.toml:7:27", "`>` stands before the end"]),
    bad("{partition}.>", "{table}.{table}", &["pipeline.toml:7:35", "`{table}` stands twice"]),
    bad(
        "{partition}.>",
        "p{partition}.>",
        &["pipeline.toml:7:27", "`p{partition}` is no token of a subject"],
    ),
    bad(
        ".{partition}.>\"",
        ".>\"\npartitions = 4",
        &["pipeline.toml:7:12", "do not say where the partition stands", "several partitions"],
    ),
    bad(
        "stream =",
        "url = \"http://nats:4222\"\nstream =",
        &["pipeline.toml:6:7", "`http://` is no address of a NATS server"],
    ),
    bad(
        "stream =",
        "context = \"prod\"\nstream =",
        &["pipeline.toml:6:11", "the NATS context `prod` cannot be found"],
    ),
    bad(
        "stream =",
        "debezium = { binary = \"hex\" }\nstream =",
        &["pipeline.toml:6:12", "`debezium` says nothing of the format `native`"],
    ),
    bad("[source]", "[[source]]", &["pipeline.toml:5:1", "[[source]] has no `name`"]),
    bad(
        "stream =",
        "origin = \"eu-west-1\"\nstream =",
        &["pipeline.toml:6:10", "the pipeline's own region, `eu-west-1`"],
    ),
    // Secrets.
    bad(
        "sqlite://orders.db",
        "postgres://app:hunter2@db/cc",
        &["pipeline.toml:10:7", "a secret stands in this file", "${NAME}"],
    ),
    bad(
        "stream =",
        "url = \"nats://s3cr3t@nats:4222\"\nstream =",
        &["pipeline.toml:6:7", "a secret stands in this file"],
    ),
    bad(
        "sqlite://orders.db",
        "${PG_ULR}",
        &["pipeline.toml:10:7", "the environment has no variable `PG_ULR`", "export PG_ULR="],
    ),
    bad("sqlite://orders.db", "${PG_URL", &["pipeline.toml:10:7", "write `${NAME}`"]),
    // The sink.
    bad(
        "url = \"sqlite",
        "kind = \"postgres\"\nurl = \"sqlite",
        &["pipeline.toml:11:7", "this is the url of a sink of kind `sqlite`", "but the kind is `postgres`"],
    ),
    bad(
        "sqlite://orders.db",
        "orders.db",
        &["pipeline.toml:10:7", "does not tell the kind", "`postgres://` or `sqlite://`"],
    ),
    bad("sqlite://orders.db", "sqlite://:memory:", &["pipeline.toml:10:7", "is no path of an SQLite file"]),
    // Tables.
    bad("[\"order_id\"]", "[]", &["pipeline.toml:14:7", "a key without columns"]),
    bad("[\"order_id\"]", "[\"a\", \"a\"]", &["pipeline.toml:14:13", "column `a` stands twice in this list"]),
    bad(
        "[\"order_id\"]",
        "[\"a\", \"b\"]\nkey_from = [\"x\"]",
        &["pipeline.toml:15:12", "`key_from` has not as many columns"],
    ),
    bad(
        "key = [",
        "deletes = \"ordered\"\nkey = [",
        &[
            "pipeline.toml:14:11",
            "`deletes = \"ordered\"` needs `before_images = \"full\"`",
            "fillers",
            "REPLICA IDENTITY FULL",
        ],
    ),
    bad(
        "key = [",
        "policy = \"lwww:at\"\nkey = [",
        &["pipeline.toml:14:10", "unknown policy `lwww:at`", "did you mean `lww`?"],
    ),
    bad(
        "key = [",
        "policy = \"lww\"\nkey = [",
        &["pipeline.toml:14:10", "policy `lww` needs a column", "lww:commit-time"],
    ),
    bad(
        "key = [",
        "policy = \"counter\"\nkey = [",
        &["pipeline.toml:14:10", "policy `counter` needs the columns that are sums", "counter:views,likes"],
    ),
    bad(
        "key = [",
        "before_images = \"full\"\npolicy = \"counter:views by max:views\"\nkey = [",
        &["pipeline.toml:15:10", "policy `counter` sums `views` and orders by it"],
    ),
    bad(
        "key = [",
        "policy = \"vector:us\"\nkey = [",
        &["pipeline.toml:14:10", "policy `vector` takes no argument", "vector by lww:updated_at"],
    ),
    bad(
        "key = [",
        "policy = \"vector by none\"\nkey = [",
        &["pipeline.toml:14:10", "`none` is no order that `vector` could go by", "lww:commit-time"],
    ),
    bad(
        "key = [",
        "policy = \"lww:at by lww:hlc\"\nkey = [",
        &[
            "pipeline.toml:14:10",
            "policy `lww` takes no `by`",
            "only `vector`, `column-merge` and `counter` do",
        ],
    ),
    bad(
        "key = [",
        "policy = \"column-merge\"\nkey = [",
        &["pipeline.toml:14:10", "needs `before_images = \"full\"`", "REPLICA IDENTITY FULL"],
    ),
    bad(
        "key = [",
        "policy = \"counter:views\"\nkey = [",
        &["pipeline.toml:14:10", "needs `before_images = \"full\"`", "what a change added to a sum"],
    ),
    bad(
        "[sink]\nurl = \"sqlite://orders.db\"\n\n[[table]]",
        "format = \"debezium-json\"\norigin = \"us\"\n[sink]\nurl = \"sqlite://orders.db\"\n[[table]]\npolicy = \"lww:hlc\"",
        &["goes by the envelope's `hlc`", "messages of Debezium carry none", "format = \"native\""],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"r\"\npath = \"r.wasm\"\nstage = \"residency\"\ntables = [\"*\"]\n[[table]]\nbefore_images = \"full\"\npolicy = \"column-merge\"",
        &["under residency plugin `r` and `column-merge by lww:commit-time`", "let a merge plugin decide"],
    ),
    bad(
        "key = [",
        "policy = \"none:x\"\nkey = [",
        &["pipeline.toml:14:10", "policy `none` takes no argument"],
    ),
    bad("key = [", "policy = \"max:a,a\"\nkey = [", &["pipeline.toml:14:10", "policy `max` names `a` twice"]),
    bad(
        "key = [",
        "policy = { plugin = \"shifts\" }\nkey = [",
        &["pipeline.toml:14:21", "there is no plugin `shifts`", "there is none"],
    ),
    bad(
        "key = [",
        "policy = { plguin = \"shifts\" }\nkey = [",
        &["pipeline.toml:14:12", "unknown key `plguin`", "did you mean `plugin`?"],
    ),
    bad(
        "key = [",
        "lane = \"bulk\"\nkey = [",
        &["pipeline.toml:14:8", "there is no lane `bulk`", "[[lane]]"],
    ),
    bad(
        "key = [",
        "schema = { version = 3, accept = [1, 2] }\nkey = [",
        &["pipeline.toml:14:34", "version 3 is not among those accepted"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"orders\"\nkey = [\"id\"]\n[[table]]",
        &["pipeline.toml:16:8", "table `orders` stands twice", "first here"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"old\"\ntarget = \"orders\"\nkey = [\"id\"]\n[[table]]",
        &["pipeline.toml:17:8", "two tables go into `orders`"],
    ),
    // Parents.
    bad(
        "key = [",
        "depends_on = [{ table = \"custmers\", columns = [\"c\"] }]\nkey = [",
        &["pipeline.toml:14:25", "there is no table `custmers`"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"lines\"\nkey = [\"id\"]\ndepends_on = [{ table = \"ordres\", columns = [\"c\"] }]\n[[table]]",
        &["pipeline.toml:15:25", "did you mean `orders`?"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"lines\"\nkey = [\"id\"]\ndepends_on = [{ table = \"orders\", columns = [\"a\", \"b\"] }]\n[[table]]",
        &["pipeline.toml:15:45", "table `orders` has a key of 1 columns", "2 named here"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"a\"\nkey = [\"id\"]\ndepends_on = [{ table = \"orders\", columns = [\"o\"] }]\n[[table]]\ndepends_on = [{ table = \"a\", columns = [\"i\"] }]",
        &["pipeline.toml:13:8", "table `a` depends on itself", "in a circle of `depends_on`"],
    ),
    bad(
        "[[table]]",
        "[[table]]\nname = \"lines\"\nkey = [\"id\"]\npriority = 1\ndepends_on = [{ table = \"orders\", columns = [\"o\"] }]\n[[table]]\npriority = 2",
        &["pipeline.toml:15:12", "table `lines` goes before its parent", "set `priority = 2` or more"],
    ),
    // Lanes.
    bad(
        "[[table]]",
        "[[lane]]\nname = \"bulk\"\nafter = [\"mian\"]\n[[table]]",
        &["pipeline.toml:14:10", "there is no lane `mian`", "did you mean `main`?"],
    ),
    bad(
        "[[table]]",
        "[[lane]]\nname = \"a\"\nafter = [\"b\"]\n[[lane]]\nname = \"b\"\nafter = [\"a\"]\n[[table]]",
        &["pipeline.toml:13:8", "lane `a` comes after itself"],
    ),
    bad(
        "[[table]]",
        "[[lane]]\nname = \"a\"\n[[lane]]\nname = \"a\"\n[[table]]",
        &["pipeline.toml:15:8", "lane `a` stands twice"],
    ),
    bad(
        "[[table]]",
        "[[lane]]\nname = \"a\"\nyield_lag = \"30s\"\n[[table]]",
        &["pipeline.toml:14:13", "`yield_lag` without `after`"],
    ),
    // Plugins.
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\nstage = \"merge\"\n[[table]]",
        &["pipeline.toml:12:1", "[[plugin]] has no `path`"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filtre\"\n[[table]]",
        &["pipeline.toml:15:9", "unknown value `filtre`", "did you mean `filter`?"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntables = [\"*\"]\n\
         [[plugin]]\nname = \"p\"\npath = \"q.wasm\"\nstage = \"filter\"\ntables = [\"*\"]\n[[table]]",
        &["pipeline.toml:18:8", "plugin `p` stands twice", "first here"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\n[[table]]",
        &["pipeline.toml:12:1", "plugin `p` is bound to no table"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntables = [\"order\"]\n[[table]]",
        &["pipeline.toml:16:11", "there is no table `order`", "did you mean `orders`?"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntags = [\"pii\"]\n[[table]]",
        &["pipeline.toml:16:9", "there is no table or column with the tag `pii`"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p@sha256:12\"\nstage = \"filter\"\ntables = [\"*\"]\n[[table]]",
        &["pipeline.toml:14:8", "not a digest of a plugin"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntables = [\"*\"]\nlaws = \"required\"\n[[table]]",
        &["pipeline.toml:17:8", "`laws` are those of merge plugins"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntables = [\"*\"]\n[[table]]\npolicy = { plugin = \"p\" }",
        &["pipeline.toml:18:21", "plugin `p` is not a merge plugin", "its stage is filter"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"merge\"\ntables = [\"orders\"]\n[[table]]",
        &["pipeline.toml:16:11", "table `orders` has another policy", "the plugin would never be asked"],
    ),
    bad(
        "[[table]]",
        "[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"merge\"\ntables = []\n[[table]]\npolicy = { plugin = \"p\" }",
        &["pipeline.toml:12:1", "plugin `p` is not bound to table `orders`", "whose policy it is"],
    ),
];
