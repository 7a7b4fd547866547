//! Rules of each stage, from the attribute to the answer: what gets into the contract, and what becomes of rows that
//! lack what their struct promises.

use reconverge_sdk::{
    ColumnSpec, Columns, Contest, Date, Decimal, Filtered, Json, Mapped, Placed, Sent, Table, TextArray,
    Time, Timestamp, Uuid, Verdict, Writes, stage,
    testing::{self, Cell, Row},
};

fn shifts() -> [Table; 1] {
    let extensions = r#"{"tags": ["wfm"]}"#;
    [Table::new("shifts", &["id"], &[("id", "int"), ("epoch", "int"), ("region", "text")], extensions)]
}

fn words(specs: &[ColumnSpec]) -> Vec<String> {
    let word =
        |s: &ColumnSpec| format!("{} {} {}{}", s.side, s.name, s.logical, if s.required { "" } else { "?" });
    specs.iter().map(word).collect()
}

#[derive(Columns, Clone, Debug, PartialEq, PartialOrd)]
struct Shift<'a> {
    epoch: i64,
    region: &'a str,
}

mod long_form {
    use super::*;
    use reconverge_sdk::{contest::Versions, merge};

    #[merge(name = "by-commit-time", version = "7.0.0", laws = true)]
    fn newest(contest: &Contest<Shift, Versions>) -> Verdict {
        match (contest.incoming_version().committed_at, contest.current_version().committed_at) {
            (Some(incoming), Some(current)) if incoming > current => Verdict::take_incoming(),
            (None, _) | (_, None) => Verdict::reject().because("commit time unknown"),
            _ if contest.incoming_version().origin == Some("us-east") => Verdict::take_incoming(),
            _ => Verdict::keep_current(),
        }
    }

    #[test]
    fn versions_are_in_the_contract_and_nothing_else() {
        let mut plugin = testing::open::<newest>("", &shifts()).unwrap();
        assert_eq!(
            words(&plugin.contracts[0].reads),
            [
                "after epoch int",
                "after region text",
                "current epoch int",
                "current region text",
                "meta origin text",
                "meta committed-at timestamp",
                "meta current-origin text",
                "meta current-committed-at timestamp"
            ]
        );
        let row = |at: Cell| {
            let sides =
                Row::new().after("epoch", 1).after("region", "a").current("epoch", 2).current("region", "b");
            sides.meta("committed-at", at).meta("current-committed-at", 5).meta("origin", "us-west")
        };
        let answer = plugin.run::<stage::Merge>(0, &[row(6.into()), row(5.into()), row(Cell::Null)]).unwrap();
        assert_eq!(answer.verdicts, [1, 0, 4]);
        assert_eq!(answer.reasons[2].as_deref(), Some("commit time unknown"));
        let described = <newest as reconverge_sdk::Plugin>::describe();
        assert_eq!(
            (described.version.as_str(), described.extensions.as_str()),
            ("7.0.0", r#"{"laws":true}"#)
        );
    }
}

mod three_way {
    use super::*;
    use reconverge_sdk::merge;

    /// What both sides changed is written anew.
    #[derive(Writes, Debug, PartialEq)]
    struct Merged<'a> {
        epoch: i64,
        region: Option<&'a str>,
        #[column(name = "merged_at", logical = "timestamp")]
        at: Sent<i64>,
    }

    #[merge(name = "three-way")]
    fn combine<'a>(contest: &Contest<'a, Shift<'a>>) -> Verdict<Merged<'a>> {
        if contest.is_delete() {
            return Verdict::delete();
        }
        if contest.is_current_deleted() {
            return Verdict::take_incoming();
        }
        let incoming_changed =
            contest.before().is_some_and(|before| before.region != contest.incoming.region);
        let region = if incoming_changed { contest.incoming.region } else { contest.current.region };
        let epoch = contest.incoming.epoch.max(contest.current.epoch);
        Verdict::write(Merged { epoch, region: Some(region), at: Sent::No }).archive_loser()
    }

    #[test]
    fn a_row_of_both_sides_is_written() {
        let mut plugin = testing::open::<combine>("", &shifts()).unwrap();
        assert_eq!(
            words(&plugin.contracts[0].writes),
            ["after epoch int", "after region text", "after merged_at timestamp"]
        );
        assert_eq!(words(&plugin.contracts[0].reads)[4..6], ["before epoch int?", "before region text?"]);
        let row =
            || Row::new().after("epoch", 1).after("region", "a").current("epoch", 2).current("region", "b");
        let rows = [
            row().before("epoch", 1).before("region", "a").meta("current-live", true),
            row().before("epoch", 1).before("region", "z").meta("current-live", true),
            row().meta("operation", "d").meta("current-live", true),
            row().meta("current-live", false),
        ];
        let answer = plugin.run::<stage::Merge>(0, &rows).unwrap();
        assert_eq!(answer.verdicts, [130, 130, 3, 1]);
        let written = |region: &str| vec![Cell::Int(2), region.into(), Cell::Unavailable];
        assert_eq!(answer.written, [written("b"), written("a"), vec![], vec![]]);
    }

    #[test]
    fn a_contest_is_made_by_hand_in_a_test() {
        let contest = Contest::new(Shift { epoch: 1, region: "a" }, Shift { epoch: 2, region: "b" });
        assert_eq!(combine(&contest.clone().with_deletes(true, false)), Verdict::delete());
        assert_eq!(combine(&contest.with_deletes(false, true)), Verdict::take_incoming());
    }
}

mod facts_table_and_configuration {
    use super::*;
    use reconverge_sdk::{config, filter};

    #[derive(Columns)]
    struct Version<'a> {
        #[meta("schema-version")]
        schema: Option<i64>,
        #[meta("operation")]
        operation: &'a str,
        #[column(side = "before", name = "region")]
        region_before: Option<&'a str>,
        #[column(required = false)]
        note: Sent<Option<&'a str>>,
    }

    /// Which versions are kept.
    #[config]
    #[derive(Debug)]
    struct Config {
        /// The oldest.
        oldest: i64,
    }

    #[filter(name = "by-version")]
    fn keep(row: &Version, table: &Table, config: &Config) -> Filtered {
        let is_tagged = table.tags().is_ok_and(|tags| tags.table == ["wfm"]);
        match row.schema {
            _ if row.note == Sent::Yes(None) => Filtered::drop().because("no note"),
            _ if row.region_before == Some("moved") => Filtered::drop().because("moved"),
            Some(version) if is_tagged && version >= config.oldest => Filtered::keep(),
            None if row.operation == "r" => Filtered::keep(),
            _ => Filtered::failed("unknown version"),
        }
    }

    #[test]
    fn facts_sides_table_and_configuration_reach_the_rule() {
        let mut plugin = testing::open::<keep>(r#"{"oldest": 3}"#, &shifts()).unwrap();
        assert_eq!(
            words(&plugin.contracts[0].reads),
            ["meta schema-version int", "meta operation text", "before region text", "after note text?"]
        );
        let row = |version: Cell, operation: &str| {
            Row::new()
                .meta("schema-version", version)
                .meta("operation", operation)
                .after("note", Cell::Unavailable)
        };
        let rows = [
            row(3.into(), "c"),
            row(2.into(), "c"),
            row(Cell::Null, "r"),
            row(3.into(), "u").before("region", "moved"),
            row(3.into(), "u").after("note", Cell::Null),
            Row::delete(),
            row(3.into(), "u").meta("operation", Cell::Null),
        ];
        let answer = plugin.run::<stage::Filter>(0, &rows).unwrap();
        assert_eq!(answer.verdicts, [1, 255, 1, 0, 0, 1, 255]);
        assert_eq!(answer.reasons[6].as_deref(), Some("column operation is null"));
    }

    #[test]
    fn the_configuration_has_a_schema_and_is_checked() {
        let schema: serde_json::Value =
            serde_json::from_str(&<keep as reconverge_sdk::Plugin>::describe().config_schema).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["properties"]["oldest"]["description"], "The oldest.");
        assert_eq!(
            (&schema["required"][0], &schema["additionalProperties"]),
            (&"oldest".into(), &false.into())
        );
        let error = |config| testing::open::<keep>(config, &shifts()).unwrap_err();
        assert!(error("").starts_with("configuration: missing field `oldest`"));
        assert!(error(r#"{"oldest": 1, "newest": 2}"#).starts_with("configuration: unknown field `newest`"));
    }
}

mod redaction_and_mapping {
    use super::*;
    use reconverge_sdk::{mapping, residency};

    #[derive(Columns)]
    struct Person<'a> {
        region: &'a str,
        phone: Sent<Option<&'a str>>,
    }

    #[derive(Writes)]
    struct Redacted {
        phone: Option<String>,
    }

    #[residency(name = "phones")]
    fn place(person: &Person) -> Placed<Redacted> {
        match person.region {
            "us" => Placed::keep(),
            "eu" => Placed::redact(Redacted { phone: None }).because("no phones from eu"),
            _ => Placed::suppress(),
        }
    }

    #[mapping(name = "digits")]
    fn digits(person: &Person) -> Mapped<Redacted> {
        match person.phone {
            Sent::Yes(Some(phone)) => {
                Mapped::write(Redacted { phone: Some(phone.chars().filter(char::is_ascii_digit).collect()) })
            }
            _ => Mapped::keep(),
        }
    }

    #[test]
    fn rows_are_written_where_the_rule_says() {
        let row = |region: &str, phone: Cell| Row::new().after("region", region).after("phone", phone);
        let rows =
            [row("us", Cell::Null), row("eu", "+1-555".into()), row("cn", Cell::Unavailable), Row::delete()];
        let mut plugin = testing::open::<place>("", &shifts()).unwrap();
        let answer = plugin.run::<stage::Residency>(0, &rows).unwrap();
        assert_eq!(
            (answer.verdicts, answer.written),
            (vec![1, 2, 0, 1], vec![vec![], vec![Cell::Null], vec![], vec![]])
        );
        let mut plugin = testing::open::<digits>("", &shifts()).unwrap();
        let answer = plugin.run::<stage::Mapping>(0, &rows).unwrap();
        assert_eq!((answer.verdicts, answer.written[1].clone()), (vec![1, 2, 1, 1], vec!["1555".into()]));
    }
}

mod every_type {
    use super::*;
    use reconverge_sdk::mapping;

    #[derive(Columns, Writes, Clone)]
    struct Everything<'a> {
        flag: bool,
        int: i64,
        float: f64,
        text: &'a str,
        bytes: &'a [u8],
        instant: Timestamp,
        day: Date,
        time: Time,
        id: Uuid,
        amount: Decimal<'a>,
        document: Json<'a>,
        labels: TextArray<'a>,
        r#type: Option<&'a str>,
        #[column(logical = "int[]")]
        numbers: Sent<&'a str>,
    }

    #[mapping(name = "same")]
    fn same<'a>(row: &Everything<'a>) -> Mapped<Everything<'a>> {
        Mapped::write(row.clone())
    }

    #[test]
    fn what_is_read_can_be_written() {
        let cells: [(&str, Cell); 14] = [
            ("flag", true.into()),
            ("int", i64::MIN.into()),
            ("float", (-0.5).into()),
            ("text", "é😀".into()),
            ("bytes", vec![0, 255].into()),
            ("instant", i64::MAX.into()),
            ("day", 1.into()),
            ("time", 2.into()),
            ("id", vec![7; 16].into()),
            ("amount", "-12.50".into()),
            ("document", "{}".into()),
            ("labels", "[]".into()),
            ("type", Cell::Null),
            ("numbers", Cell::Unavailable),
        ];
        let whole = cells.iter().fold(Row::new(), |row, (name, cell)| row.after(name, cell.clone()));
        let rows = [whole.clone(), whole.clone().after("id", vec![7; 15]), whole.after("amount", Cell::Null)];
        let mut plugin = testing::open::<same>("", &shifts()).unwrap();
        assert_eq!(plugin.contracts[0].reads, plugin.contracts[0].writes);
        let answer = plugin.run::<stage::Mapping>(0, &rows).unwrap();
        assert_eq!(answer.verdicts, [2, 255, 255]);
        assert_eq!(answer.written[0], cells.map(|(_, cell)| cell));
        assert_eq!(answer.reasons[1].as_deref(), Some("column id is malformed"));
        assert_eq!(answer.reasons[2].as_deref(), Some("column amount is null"));
    }
}
