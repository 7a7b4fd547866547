//! The type zoo of the captures: one row per awkward value of 46 column types, in three handling modes.

use crate::{
    config::BinaryText,
    decode::{Decoder, Options},
    plan::TablePlan,
};

use super::{
    capture::deliveries,
    setup::{debezium, decoder, table, told},
};

const COLUMNS: &str = "id:int=integer note:text i2:int=smallint i4:int=integer i8:int f4:float=real f8:float \
    n53:decimal=numeric(5,3) n380:decimal=numeric(38,0) n3818:decimal=numeric(38,18) nfree:decimal=numeric \
    cash:text=money flag:bool c5:text=character(5) vc:text=character_varying(40) txt:text b:bytes \
    bit1:text=bit(1) bit8:text=bit(8) vbit:text=bit_varying(16) d:date t:time \
    t3:time=time(3)_without_time_zone ttz:text=time_with_time_zone ts:timestamp \
    ts3:timestamp=timestamp(3)_without_time_zone tstz:timestamp=timestamp_with_time_zone iv:text=interval u:uuid \
    j:json jb:json x:text=xml e:text=mood ta:text[] ia:int[] na:decimal[]=numeric(5,3)[] ua:uuid[] \
    tsa:timestamp[] ia2:int[] ip:text=inet net:text=cidr mac:text=macaddr r4:text=int4range rts:text=tstzrange \
    pt:text=point tsv:text=tsvector gen:int dflt:text!";

fn zoo(without: &[&str]) -> TablePlan {
    let columns: Vec<&str> = COLUMNS
        .split_whitespace()
        .filter(|c| !without.iter().any(|w| c.split(':').next() == Some(w)))
        .collect();
    let mut plan = table("type_zoo", "id", &columns.join(" "));
    let mood = plan.columns.iter_mut().find(|c| c.name == "e").unwrap();
    mood.labels = vec!["calm".into(), "tense".into(), "says \"no\"".into()];
    plan
}

/// What the rows of a file become, by id.
fn rows(file: &str, decoder: &Decoder) -> Vec<String> {
    let messages = deliveries(&format!("../tests/data/type_zoo/{file}"));
    told(decoder, messages).into_iter().filter(|line| line != "unlisted").collect()
}

fn of(rows: &[String], id: u32) -> &str {
    let named = |row: &&String| row.split(' ').nth(1) == Some(&id.to_string()) && !row.starts_with("u ");
    rows.iter().find(named).unwrap_or_else(|| panic!("no row {id} in {rows:#?}"))
}

/// The modes: file, options, and what differs between them.
fn modes() -> [(&'static str, Options); 3] {
    let strings = Options { binary: BinaryText::Hex, decimals_as_text: true, ..debezium() };
    [
        ("type_zoo.jsonl.gz", debezium()),
        ("type_zoo_schema.jsonl.gz", debezium()),
        ("type_zoo_strings.jsonl.gz", strings),
    ]
}

#[test]
fn ordinary_values_of_every_type() {
    for (file, options) in modes() {
        let strings = options.decimals_as_text;
        let rows = rows(file, &decoder(vec![zoo(&[])], options));
        for id in [1, 101] {
            let row = of(&rows, id);
            let iv = if strings { "P1Y2M3DT4H5M6.789S" } else { "37091106789000 microseconds" };
            for cell in [
                r#""i2":1,"i4":2,"i8":3,"f4":1.5,"f8":2.25,"n53":"1.250","n380":"42","n3818":"1.500000000000000000","nfree":"12.34","cash":"12.34","flag":true,"c5":"ab   ","vc":"abc","txt":"x","b":"AAH/","bit1":"1","bit8":"10100101","vbit":"101""#,
                r#""d":"2026-03-02","t":"08:30:00.123456","t3":"08:30:00.123000","ttz":"06:30:00.5Z","ts":"2026-03-02T08:30:00.123456Z","ts3":"2026-03-02T08:30:00.123000Z","tstz":"2026-03-02T06:30:00.123456Z""#,
                &format!(r#""iv":"{iv}""#),
                r#""u":"0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001","j":{"a":2,"b":1},"jb":{"a":2.50,"b":1,"big":12345678901234567890.10},"x":"<a>1</a>","e":"tense""#,
                r#""ta":["a",null,"q\"","c,d"],"ia":[1,null,3],"na":["1.250",null],"ua":["0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001"],"tsa":["2026-03-02T08:30:00.000000Z"],"ia2":[null,null]"#,
                r#""ip":"10.0.0.1/24","net":"10.0.0.0/8","mac":"08:00:2b:01:02:03","r4":"[1,5)","rts":"[\"2026-01-01 00:00:00+00\",\"2026-02-01 00:00:00+00\")""#,
                r#""pt":"(1.5,2.0)","tsv":"'a':1 'b':2""#,
                r#""dflt":"given""#,
            ] {
                assert!(row.contains(cell), "{file} {id}: {cell} is not in {row}");
            }
        }
        // A generated column comes in snapshots only.
        assert!(of(&rows, 1).contains(r#""gen":4"#) && of(&rows, 101).contains("!gen"), "{file}");
        assert!(of(&rows, 100).contains(r#""i2":null,"i4":null"#), "{file}");
    }
}

#[test]
fn extreme_values() {
    for (file, options) in modes() {
        let strings = options.decimals_as_text;
        // Without those that no 64 bits can hold, which the next test looks at.
        let rows = rows(file, &decoder(vec![zoo(&["ts", "tstz", "iv"])], options));
        for id in [2, 102] {
            for cell in [
                r#""i2":32767,"i4":2147483647,"i8":9223372036854775806,"f4":3.3999999521443642e38,"f8":1.7976931348623157e308"#,
                r#""n53":"99.999","n380":"99999999999999999999999999999999999999","n3818":"99999999999999999999.999999999999999999","nfree":"10000000000000000000000000000000000000000","cash":"92233720368547758.07""#,
                r#""d":"+5874897-12-31""#,
                // Text of `time.precision.mode=isostring` wraps midnight's other name.
                if strings { r#""t":"00:00:00.000000""# } else { r#""t":"24:00:00.000000""# },
            ] {
                assert!(of(&rows, id).contains(cell), "{file} {id}: {cell} is not in {}", of(&rows, id));
            }
        }
        for id in [3, 103] {
            for cell in [
                r#""i2":-32768,"i4":-2147483648,"i8":-9223372036854775808,"f4":-1.401298464324817e-45,"f8":5e-324"#,
                r#""n53":"-99.999","n380":"-1","n3818":"-0.000000000000000001","nfree":"-0.00000000000000000000001","cash":"-92233720368547758.08""#,
            ] {
                assert!(of(&rows, id).contains(cell), "{file} {id}: {cell} is not in {}", of(&rows, id));
            }
        }
        // Debezium loses the era of a snapshot's date; the stream keeps it.
        assert!(of(&rows, 103).contains(r#""d":"-4712-01-01""#), "{file}");
        for id in [4, 104] {
            let zero = r#""n53":"0.000","n380":"0","n3818":null,"nfree":"0""#;
            let empty = r#""txt":"","b":"","bit1":null,"bit8":"00000000","vbit":null"#;
            assert!(
                of(&rows, id).contains(zero) && of(&rows, id).contains(empty),
                "{file}: {}",
                of(&rows, id)
            );
            assert!(of(&rows, id).contains(r#""ta":[]"#), "{file}");
        }
        for id in [5, 105] {
            assert!(of(&rows, id).contains(r#""f4":"NaN","f8":"Infinity""#), "{file}");
        }
    }
}

#[test]
fn infinities_and_far_years() {
    for (file, options) in modes() {
        let rows = rows(file, &decoder(vec![zoo(&[])], options));
        for (id, cell) in [
            (6, r#""d":"infinity""#),
            (106, r#""d":"infinity""#),
            (7, r#""ts":"infinity""#),
            (107, r#""ts":"infinity""#),
            (8, r#""tstz":"infinity""#),
            (109, r#""tstz":"-infinity""#),
            (10, r#""tstz":"-0043-03-15T12:00:00.000000Z""#),
            (103, r#""ts":"-4712-01-01T00:00:00.000000Z""#),
            (103, r#""tstz":"0001-01-01T00:00:00.000000Z""#),
            (203, r#""rts":"(-infinity,infinity)""#),
        ] {
            assert!(of(&rows, id).contains(cell), "{file} {id}: {cell} is not in {}", of(&rows, id));
        }
        // Of ids 2, 102 and 11, 111: later than 64 bits of microseconds from 1970 reach.
        let refused: Vec<&String> = rows.iter().filter(|row| row.starts_with("out-of-range")).collect();
        assert_eq!(refused.len(), 4, "{refused:#?}");
        assert!(refused.iter().all(|r| r.contains("294247") && r.ends_with("(with key)")), "{refused:#?}");
    }
}

#[test]
fn decimals_that_are_no_numbers_come_only_as_text() {
    for (file, options) in modes() {
        let strings = options.decimals_as_text;
        let rows = rows(file, &decoder(vec![zoo(&[])], options));
        for (id, cell) in [(200, r#""n53":"NaN""#), (201, r#""nfree":"NaN""#), (202, r#""nfree":"Infinity""#)]
        {
            assert_eq!(of(&rows, id).contains(cell), strings, "{file} {id}");
        }
    }
}
