//! `reconverge plugin deploy | status | promote | rollback | pin | unpin`: another artifact for a pipeline that runs.

mod arguments;
mod help;

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    assemble::{Operator, Phase, Report, Standing, Wish},
    config::Pipeline,
    contests::ContestFile,
    generation::Promotion,
    plugin,
};

use super::super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, grouped, or_dash},
};
use super::place::Place;
use arguments::Deploy;
pub(in crate::cli) use arguments::DeployCommand;

/// How long processes are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the others are waited for, once one process is through.
const OTHERS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);

/// Does what was asked.
pub(in crate::cli) async fn perform(global: &Global, command: &DeployCommand) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let operator = Operator::connect(&pipeline).await?;
    match command {
        DeployCommand::Deploy(asked) => deploy(global, &pipeline, &operator, asked).await,
        DeployCommand::Status { plugin } => {
            let names = match plugin {
                Some(name) => vec![name.clone()],
                None => pipeline.plugins.iter().map(|plugin| plugin.name.clone()).collect(),
            };
            let mut all = Vec::new();
            for name in names {
                all.push(operator.standing(&name).await?);
            }
            output::show(global.json, &all, |all| all.iter().map(told).collect::<Vec<_>>().join("\n"))?;
            Ok(Exit::Done)
        }
        DeployCommand::Promote(named) => {
            let revision = operator.promote(&named.plugin, named.by.by.clone()).await?;
            settled(global, &operator, &named.plugin, revision).await
        }
        DeployCommand::Rollback(named) => {
            let revision = operator.roll_back(&named.plugin, named.by.by.clone()).await?;
            settled(global, &operator, &named.plugin, revision).await
        }
        DeployCommand::Pin(named) | DeployCommand::Unpin(named) => {
            let pinned = matches!(command, DeployCommand::Pin(_));
            operator.pin(&named.plugin, pinned, named.by.by.clone()).await?;
            output::show(global.json, &operator.standing(&named.plugin).await?, told)?;
            Ok(Exit::Done)
        }
    }
}

async fn deploy(
    global: &Global,
    pipeline: &Pipeline,
    operator: &Operator<'_>,
    asked: &Deploy,
) -> Result<Exit, Failure> {
    let place = Place::of(&asked.file)?;
    let contests = match asked.golden.as_ref().or(place.contests.as_ref()) {
        Some(golden) => ContestFile::read_all(golden)?,
        None => Vec::new(),
    };
    let name = match &asked.plugin {
        Some(name) => name.clone(),
        None => own_name(pipeline, &place.file)?,
    };
    let shadow = asked.shadow_for.unwrap_or_default();
    let promotion = Promotion {
        changes: asked.shadow_changes,
        for_ms: u64::try_from(shadow.as_millis()).unwrap_or(u64::MAX),
        max_diff: asked.max_diff,
        max_faults: asked.max_faults,
        by_hand: asked.by_hand,
    };
    let (lanes, tables) = (asked.lane.clone(), asked.table.clone());
    if let Some(table) = tables.iter().find(|table| !pipeline.tables.iter().any(|t| t.name == **table)) {
        let names: Vec<&str> = pipeline.tables.iter().map(|t| t.name.as_str()).collect();
        return Err(Failure::new(Exit::Configuration, format!("the pipeline has no table `{table}`"))
            .hint(format!("its tables are {}", names.join(", "))));
    }
    let wish = Wish { promotion, lanes, tables, contests, force: asked.force, by: asked.by.by.clone() };
    let revision = operator.deploy(&name, &place.file, wish).await?;
    if asked.no_wait {
        output::show(global.json, &operator.standing(&name).await?, told)?;
        return Ok(Exit::Done);
    }
    settled(global, operator, &name, revision).await
}

/// The plugin of the pipeline that has the name that a file gives itself, or the only one.
fn own_name(pipeline: &Pipeline, file: &Path) -> Result<String, Failure> {
    let described = plugin::inspect(&super::engine()?, file)?;
    let by_name = pipeline.plugin(&described.name).map(|plugin| plugin.name.clone());
    let only = || match pipeline.plugins.as_slice() {
        [only] => Some(only.name.clone()),
        _ => None,
    };
    by_name.or_else(only).ok_or_else(|| {
        let names: Vec<&str> = pipeline.plugins.iter().map(|p| p.name.as_str()).collect();
        let what =
            format!("the plugin calls itself `{}`, and the pipeline has none of that name", described.name);
        Failure::new(Exit::Configuration, what)
            .hint(format!("say which it is with --plugin: {}", names.join(", ")))
    })
}

/// Waits for the processes and shows what they say.
async fn settled(
    global: &Global,
    operator: &Operator<'_>,
    plugin: &str,
    revision: u64,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let mut through_since: Option<Instant> = None;
    let standing = loop {
        let standing = operator.standing(plugin).await?;
        let all_through =
            !standing.reports.is_empty() && standing.reports.iter().all(|r| is_through(r, revision));
        through_since = if all_through { through_since.or(Some(Instant::now())) } else { None };
        if through_since.is_some_and(|since| since.elapsed() >= OTHERS) || began.elapsed() >= PATIENCE {
            break standing;
        }
        sleep(LOOK).await;
    };
    let refused = standing.reports.iter().any(|r| matches!(r.phase, Phase::Refused | Phase::TakenBack));
    output::show(global.json, &standing, told)?;
    Ok(if refused { Exit::Runtime } else { Exit::Done })
}

/// Whether nothing more is to be waited for from a process; a shadow run may take days.
fn is_through(report: &Report, revision: u64) -> bool {
    let in_shadow = report.phase == Phase::Shadow && report.compared.batches > 0;
    report.revision >= revision && (report.phase.is_final() || in_shadow)
}

fn told(standing: &Standing) -> String {
    let Some(deployment) = &standing.deployment else {
        return format!(
            "plugin {}: nothing is deployed; processes run the pipeline's own file\n",
            standing.plugin
        );
    };
    let pinned = if deployment.pinned { ", pinned" } else { "" };
    let mut text = format!(
        "plugin {}: sha256 {} deployed by {} as revision {}{pinned}\n",
        standing.plugin,
        &deployment.sha256[..12],
        deployment.by,
        or_dash(standing.revision)
    );
    if let Some(why) = &deployment.taken_back {
        text.push_str(&format!("it was turned back to: {why}\n"));
    }
    if standing.reports.is_empty() {
        text.push_str(
            "no process has said anything yet; each takes it when it runs and follows deployments\n",
        );
        return text;
    }
    let row = |report: &Report| {
        vec![
            report.process.clone(),
            report.phase.word().to_owned(),
            grouped(report.compared.changes),
            grouped(report.compared.differ),
            grouped(report.compared.faults),
            or_dash(report.why.clone()),
        ]
    };
    let head = ["process", "phase", "decided twice#", "otherwise#", "faults#", "why"];
    text.push_str(&output::table(&head, standing.reports.iter().map(row)));
    let examples: Vec<_> = standing.reports.iter().flat_map(|report| &report.compared.examples).collect();
    if !examples.is_empty() {
        let head = ["lane", "sequence#", "table", "live says", "the new one says"];
        let row = |difference: &&crate::generation::Difference| {
            vec![
                difference.lane.clone(),
                difference.sequence.to_string(),
                or_dash(difference.table.clone()),
                difference.live.clone(),
                if difference.live == difference.new {
                    format!("{}, another row", difference.new)
                } else {
                    difference.new.clone()
                },
            ]
        };
        text.push('\n');
        text.push_str(&output::table(&head, examples.iter().map(row)));
    }
    text
}
