//! Residency: a row is in this zone only where its consent list or the tags of its table allow it, and a column only
//! where its tags do.
//!
//! - **Consent.** A table's rule may name a column that lists zones. A row whose list does not hold this zone, or is
//!   null, is suppressed, or kept with some columns redacted. A list that nobody knows fails the change: not knowing is
//!   no consent, and no refusal either.
//! - **Tags.** A tag's rule says in which zones tagged data may be. Elsewhere a tagged table has no rows, and a tagged
//!   column is null.
//! - A table without any rule is refused when the pipeline starts, unless the configuration says what becomes of it.
//!
//! Which columns these are is known when the pipeline opens the plugin, so the contract is made there.

use std::collections::{BTreeMap, BTreeSet};

use reconverge_sdk::{
    Answer, AnswerBuilder, Batch, Block, BlockError, BlockWriter, ColumnSpec, Contract, Descriptor, Kind,
    Pattern, Plugin, Stage, Table, TextArray,
    block::{Column, State, Texts},
    column, config, contract, stage,
};

/// Which data may be in a zone.
#[config]
#[derive(Debug)]
struct Config {
    /// The zone of this pipeline's sink: `us`.
    zone: String,
    /// Rules of tables; of a table that several patterns name, the first.
    #[serde(default)]
    tables: Vec<TableRule>,
    /// Rules of tags, by tag.
    #[serde(default)]
    tags: BTreeMap<String, TagRule>,
    /// What becomes of tables without a rule. Left out: such a table is refused.
    otherwise: Option<Otherwise>,
}

/// What a row of a table needs to be in the zone.
#[config]
#[derive(Debug)]
struct TableRule {
    /// The tables, as a pattern: `customer_*`.
    table: Pattern,
    /// The column that lists the zones which the row may be in: an array of text. Left out: any zone.
    consent: Option<String>,
    /// Columns that are null in rows without consent; such rows are then kept. Left out: they are suppressed.
    #[serde(default)]
    redact: Vec<String>,
}

/// Where data with a tag may be.
#[config]
#[derive(Debug)]
struct TagRule {
    /// The zones.
    zones: Vec<String>,
}

/// What becomes of tables without a rule.
#[config]
#[derive(Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    /// Their rows may be in the zone.
    Keep,
    /// Their rows may not.
    Suppress,
}

/// What becomes of the rows of a table.
#[derive(Debug, Default)]
struct Rule {
    /// No row may be here.
    suppress: Option<&'static str>,
    /// Rows need consent.
    consent: bool,
    /// Columns to write, and whether each is redacted in all rows (else in those without consent).
    redact: Vec<bool>,
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Residency {
    zone: String,
    rules: Vec<Rule>,
}

impl Plugin for Residency {
    fn describe() -> Descriptor {
        Descriptor {
            name: "residency".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: config::schema::<Config>(),
            extensions: String::new(),
        }
    }

    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        let config: Config = config::read(config)?;
        let (mut rules, mut contracts) = (Vec::new(), Vec::new());
        for (k, table) in tables.iter().enumerate() {
            let (rule, reads, writes) = config.rule(table)?;
            rules.push(rule);
            contracts.push(contract(k, reads, writes));
        }
        Ok((Residency { zone: config.zone, rules }, contracts))
    }
}

impl Config {
    /// The rule of a table, and the columns that it reads and writes.
    fn rule(&self, table: &Table) -> Result<(Rule, Vec<ColumnSpec>, Vec<ColumnSpec>), String> {
        let tags = table.tags()?;
        let of_table = self.tables.iter().find(|rule| rule.table.names(&table.name));
        let has_tag_rule = |of: &[String]| of.iter().any(|tag| self.tags.contains_key(tag));
        let is_ruled = of_table.is_some()
            || has_tag_rule(&tags.table)
            || table.columns.iter().any(|(name, _)| has_tag_rule(tags.column(name)));
        let mut rule = Rule::default();
        if tags.table.iter().any(|tag| !self.allows(tag)) {
            rule.suppress = Some("the table's tags do not allow this zone");
        } else if !is_ruled {
            match self.otherwise {
                Some(Otherwise::Keep) => {}
                Some(Otherwise::Suppress) => rule.suppress = Some("the table has no rule"),
                None => {
                    return Err(format!(
                        "table {}: no rule; add one to `tables`, or set `otherwise`",
                        table.name
                    ));
                }
            }
        }
        if rule.suppress.is_some() {
            return Ok((rule, vec![], vec![]));
        }
        let mut reads = vec![column("meta", "operation", "text", true)];
        if let Some(consent) = of_table.and_then(|rule| rule.consent.as_deref()) {
            rule.consent = true;
            reads.push(column("after", consent, "text[]", true));
            // What the change did not touch is what it was before.
            reads.push(column("before", consent, "text[]", false));
        }
        let always: BTreeSet<&str> =
            self.tags.keys().filter(|tag| !self.allows(tag)).flat_map(|tag| tags.columns_with(tag)).collect();
        let without_consent = of_table.map_or(&[][..], |rule| &rule.redact).iter().map(String::as_str);
        let mut writes = Vec::new();
        for name in always.iter().copied().chain(without_consent.filter(|name| !always.contains(name))) {
            let logical = redactable(table, name)?;
            rule.kinds.extend(Kind::of(logical));
            rule.redact.push(always.contains(name));
            writes.push(column("after", name, logical, true));
        }
        Ok((rule, reads, writes))
    }

    /// Whether a tag allows the zone; one without a rule does.
    fn allows(&self, tag: &str) -> bool {
        self.tags.get(tag).is_none_or(|rule| rule.zones.contains(&self.zone))
    }
}

/// The logical type of a column that is to be redacted.
fn redactable<'t>(table: &'t Table, name: &str) -> Result<&'t str, String> {
    if table.key.iter().any(|key| key == name) {
        return Err(format!(
            "table {}: {name} is a key column and cannot be redacted; suppress the rows",
            table.name
        ));
    }
    let logical =
        table.logical(name).ok_or_else(|| format!("table {} has no column {name} to redact", table.name))?;
    Kind::of(logical)
        .map(|_| logical)
        .ok_or_else(|| format!("column {name} is of a type that this plugin does not know"))
}

impl Stage<stage::Residency> for Residency {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        let rule = self.rules.get(batch.table).ok_or("there is no such table")?;
        answer(&self.zone, rule, &batch.block).map_err(|error| error.to_string())
    }
}

/// Verdicts of the stage.
const SUPPRESS: u8 = 0;
const KEEP: u8 = 1;
const REDACT: u8 = 2;

fn answer(zone: &str, rule: &Rule, block: &Block<'_>) -> Result<Answer, BlockError> {
    if let Some(why) = rule.suppress {
        return Ok(suppress_all(block.rows(), why));
    }
    let redacts_all = rule.redact.contains(&true);
    let mut answer = AnswerBuilder::new(block.rows(), if redacts_all { REDACT } else { KEEP });
    let mut redacted = BlockWriter::new(block.rows(), &rule.kinds);
    let operation = block.texts(0)?;
    let consent = if rule.consent { Some((block.texts(1)?, block.texts(2)?)) } else { None };
    for row in 0..block.rows() {
        // A delete carries only its key: there is nothing to redact, and it has to pass.
        if operation.get(row) == "d" {
            answer.set(row, KEEP);
            continue;
        }
        let consents = consent.as_ref().map_or(Some(true), |columns| consents(zone, columns, row));
        match consents {
            Some(true) => redact(&mut redacted, rule, row, false),
            Some(false) if rule.redact.contains(&false) => {
                answer.set(row, REDACT);
                answer.because(row, "no consent for this zone");
                redact(&mut redacted, rule, row, true);
            }
            Some(false) => {
                answer.set(row, SUPPRESS);
                answer.because(row, "no consent for this zone");
            }
            None => answer.fail(row, "the consent list was not sent"),
        }
    }
    if !rule.redact.is_empty() {
        answer.block(&redacted);
    }
    Ok(answer.finish())
}

/// No row of the table may be here: not even the keys of deletes.
fn suppress_all(rows: usize, why: &str) -> Answer {
    let mut answer = AnswerBuilder::new(rows, SUPPRESS);
    (0..rows).for_each(|row| answer.because(row, why));
    answer.finish()
}

/// Whether the row may be in the zone; `None` where its list is not known.
fn consents(zone: &str, (after, before): &(Texts<'_>, Texts<'_>), row: usize) -> Option<bool> {
    let known = |list: &Texts<'_>| match list.state(row) {
        State::Value => Some(TextArray(list.get(row)).contains(zone)),
        State::Null => Some(false),
        State::Unavailable | State::NoRow => None,
    };
    match after.state(row) {
        State::Unavailable => known(before),
        _ => known(after),
    }
}

/// Nulls the columns that are redacted in all rows, and those that are redacted without consent.
fn redact(block: &mut BlockWriter, rule: &Rule, row: usize, without_consent: bool) {
    for (k, &always) in rule.redact.iter().enumerate() {
        if always || without_consent {
            block.null(k, row);
        }
    }
}

reconverge_sdk::export!(Residency: residency);

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_sdk::testing::{self, Cell, Opened, Row};

    const COLUMNS: [(&str, &str); 5] = [
        ("customer_id", "int"),
        ("region", "text"),
        ("email", "text"),
        ("phone", "text"),
        ("consent_regions", "text[]"),
    ];

    fn profiles(extensions: &str) -> Table {
        Table::new("customer_profiles", &["customer_id", "region"], &COLUMNS, extensions)
    }

    fn open(config: &str, table: Table) -> Result<Opened<Residency>, String> {
        testing::open::<Residency>(config, &[table])
    }

    const BY_CONSENT: &str =
        r#"{"zone": "us", "tables": [{"table": "customer_profiles", "consent": "consent_regions"}]}"#;

    fn list(cell: impl Into<Cell>) -> Row {
        Row::new().after("customer_id", 1).after("consent_regions", cell)
    }

    #[test]
    fn a_profile_is_where_its_consent_list_says() {
        let mut plugin = open(BY_CONSENT, profiles("")).unwrap();
        let rows = [
            list(r#"["eu","us"]"#),
            list(r#"["us-east",null]"#),
            list("[]"),
            list(Cell::Null),
            list(Cell::Unavailable).before("consent_regions", r#"["us"]"#),
            list(Cell::Unavailable).before("consent_regions", r#"["eu"]"#),
            list(Cell::Unavailable),
            Row::delete().after("customer_id", 1),
        ];
        let answer = plugin.run(0, &rows).unwrap();
        assert_eq!(answer.verdicts, [KEEP, SUPPRESS, SUPPRESS, SUPPRESS, KEEP, SUPPRESS, 255, KEEP]);
        assert_eq!(answer.reasons[3].as_deref(), Some("no consent for this zone"));
        assert_eq!(answer.reasons[6].as_deref(), Some("the consent list was not sent"));
    }

    #[test]
    fn a_row_without_consent_may_stay_with_columns_redacted() {
        let config = BY_CONSENT
            .replace(r#""consent_regions"}"#, r#""consent_regions", "redact": ["email", "phone"]}"#);
        let mut plugin = open(&config, profiles("")).unwrap();
        let answer = plugin.run(0, &[list(r#"["us"]"#), list("[]")]).unwrap();
        assert_eq!(answer.verdicts, [KEEP, REDACT]);
        assert_eq!(answer.written, [vec![], vec![Cell::Null, Cell::Null]]);
    }

    #[test]
    fn tagged_columns_are_null_and_tagged_tables_empty_where_the_tag_does_not_allow() {
        let config =
            r#"{"zone": "us", "tags": {"pii": {"zones": ["eu"]}, "billing": {"zones": ["us", "eu"]}}}"#;
        let tagged = r#"{"tags": ["billing"], "columns": {"email": {"tags": ["pii"]}, "region": {"tags": ["billing"]}}}"#;
        let mut plugin = open(config, profiles(tagged)).unwrap();
        assert_eq!(plugin.contracts[0].writes.iter().map(|w| &w.name).collect::<Vec<_>>(), ["email"]);
        let answer = plugin.run(0, &[list("[]"), Row::delete()]).unwrap();
        assert_eq!((answer.verdicts, answer.written), (vec![REDACT, KEEP], vec![vec![Cell::Null], vec![]]));

        let mut plugin = open(config, profiles(r#"{"tags": ["pii"]}"#)).unwrap();
        assert!(plugin.contracts[0].reads.is_empty(), "what may not be here is not looked at");
        let answer = plugin.run(0, &[list("[]"), Row::delete()]).unwrap();
        assert_eq!(answer.verdicts, [SUPPRESS, SUPPRESS]);
    }

    #[test]
    fn what_the_configuration_leaves_open_is_refused() {
        let bare = |rest: &str| format!(r#"{{"zone": "us"{rest}}}"#);
        let error = |config: &str, extensions: &str| open(config, profiles(extensions)).unwrap_err();
        assert!(error(&bare(""), "").contains("customer_profiles: no rule"));
        assert!(
            open(&bare(r#", "otherwise": "keep""#), profiles(""))
                .unwrap()
                .run(0, &[list("[]")])
                .unwrap()
                .verdicts
                == [KEEP]
        );
        let mut suppressing = open(&bare(r#", "otherwise": "suppress""#), profiles("")).unwrap();
        assert_eq!(suppressing.run(0, &[list("[]")]).unwrap().verdicts, [SUPPRESS]);
        let key = r#", "tables": [{"table": "*", "consent": "consent_regions", "redact": ["region"]}]"#;
        assert!(error(&bare(key), "").contains("region is a key column"));
        assert!(error("{}", "").contains("missing field `zone`"));
    }
}
