//! `reconverge source`: what the sink knows of the sources, and the operator's word about their epochs.

use clap::{Args, Subcommand};
use reconverge_streams::records::{EpochRecord, EpochWord, Records, SourceRecord, SuspicionRecord};
use serde::Serialize;

use crate::config::Pipeline;

use super::{
    arguments::Global,
    connect,
    exit::{Exit, exit_codes},
    failure::Failure,
    help::more,
    logging::{Bar, Loudness},
    output,
};

pub(super) const SOURCE: &str = "\
Looks at the sources that the sink knows: how well their changes can be told apart (grade), and which run of their \
positions they are in (epoch).

A source that was restored, or failed over and lost a part of its log, counts its positions anew, and its new changes \
look older than what was seen. The lane halts when three of its keys look so. `epoch bump` says that it is so, \
`epoch dismiss` that only its clock was set back.";
pub(super) const SOURCE_MORE: &str = more!(
    reads: "reconverge.source, reconverge.suspicion; the stream's last sequence.",
    "reconverge source list",
    "reconverge source epoch bump us-east-1",
    "reconverge source epoch dismiss us-east-1",
);

/// `source`.
#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// List sources and origins: grade, epoch, open suspicions
    List,
    /// Say whether the positions of a source began anew
    #[command(subcommand)]
    Epoch(Epoch),
}

/// `source epoch`.
#[derive(Debug, Subcommand)]
pub(super) enum Epoch {
    /// The source was restored or failed over: its positions began anew
    Bump(Of),
    /// Its positions did not begin anew: what is suspected is older after all, its clock was set back
    Dismiss(Of),
}

/// Of which source, and from where on.
#[derive(Debug, Args)]
pub(super) struct Of {
    /// The source, as its changes call it
    source: String,
    /// The epoch begins at this stream sequence; suspicions before it are dismissed. Left out: `bump` takes the first
    /// open suspicion, else what is published from now on; `dismiss` all that the stream holds
    #[arg(long, value_name = "N")]
    from_sequence: Option<u64>,
    /// The stream; needed where the pipeline reads several
    #[arg(long)]
    stream: Option<String>,
}

/// What `source list` shows.
#[derive(Debug, Serialize)]
struct Listed {
    sources: Vec<SourceRecord>,
    suspicions: Vec<SuspicionRecord>,
}

pub(super) async fn source(global: &Global, asked: SourceCommand) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    let (of, dismiss) = match asked {
        SourceCommand::List => {
            let suspicions = records.suspicions(Some(&pipeline.name)).await?;
            let listed = Listed { sources: records.sources().await?, suspicions };
            output::show(global.json, &listed, list)?;
            return Ok(Exit::Done);
        }
        SourceCommand::Epoch(Epoch::Bump(of)) => (of, false),
        SourceCommand::Epoch(Epoch::Dismiss(of)) => (of, true),
    };
    let (stream, last) = stream(&pipeline, of.stream.as_deref()).await?;
    let word = EpochWord {
        source: of.source.clone(),
        stream,
        from_sequence: of.from_sequence,
        otherwise: last + 1,
        dismiss,
        by: "reconverge source epoch".to_owned(),
    };
    let said = records.say_epoch(&word).await?.ok_or_else(|| {
        Failure::new(Exit::Runtime, format!("the sink knows no source `{}`", of.source))
            .hint("`reconverge source list` shows those that it knows, by the name that their changes carry")
    })?;
    output::show(global.json, &said, |said| told(said, dismiss))?;
    Ok(Exit::Done)
}

/// The stream that is meant, and its last sequence.
async fn stream(pipeline: &Pipeline, asked: Option<&str>) -> Result<(String, u64), Failure> {
    let mut streams: Vec<&str> = pipeline.sources.iter().map(|s| s.stream.as_str()).collect();
    streams.dedup();
    let meant = match (asked, streams.as_slice()) {
        (Some(asked), all) if all.contains(&asked) => asked,
        (None, [only]) => only,
        _ => {
            let what = format!("which stream? The pipeline reads {}", streams.join(", "));
            return Err(Failure::new(Exit::Configuration, what).hint("name one of them with --stream"));
        }
    };
    let place = pipeline.sources.iter().position(|s| s.stream == meant).unwrap_or_default();
    let ends = connect::streams(pipeline).await;
    match ends.into_iter().nth(place) {
        Some((_, Ok(facts))) => Ok((meant.to_owned(), facts.last)),
        Some((_, Err(why))) => {
            Err(Failure::new(Exit::Environment, format!("the end of stream {meant} is not known: {why}"))
                .hint("see that nats-server runs and that [source] url names it"))
        }
        None => Err(Failure::new(Exit::Configuration, "the pipeline has no source")),
    }
}

fn told(said: &EpochRecord, dismiss: bool) -> String {
    let EpochRecord { source, stream, epoch, from_sequence, suspicions } = said;
    let noun = if *suspicions == 1 { "suspicion is" } else { "suspicions are" };
    if dismiss {
        return format!(
            "source {source} stays in epoch {epoch}: what looks otherwise in stream {stream} before sequence {from_sequence} \
             counts as older; {suspicions} {noun} closed\n"
        );
    }
    format!(
        "source {source} is in epoch {epoch} from sequence {from_sequence} of stream {stream} on; {suspicions} {noun} closed\n\
         Changes that were left out before the lane halted are dead letters with the code `source-epoch`: \
         `reconverge dlq list`, then `redrive`.\n"
    )
}

fn list(listed: &Listed) -> String {
    if listed.sources.is_empty() {
        return "no sources are known yet\n".to_owned();
    }
    let row = |s: &SourceRecord| vec![s.name.clone(), s.grade.clone(), s.epoch.to_string()];
    let mut text = output::table(&["source", "grade", "epoch#"], listed.sources.iter().map(row));
    if !listed.suspicions.is_empty() {
        text.push('\n');
        text.push_str(&suspicions(&listed.suspicions));
    }
    text
}

/// Open suspicions, for `status` too.
pub(super) fn suspicions(found: &[SuspicionRecord]) -> String {
    let head =
        ["source epoch?", "table", "key", "sequence#", "position", "newest known", "committed at", "lane"];
    let row = |s: &SuspicionRecord| {
        vec![
            s.source.clone(),
            s.table.clone(),
            s.key.clone(),
            s.sequence.to_string(),
            s.position.clone(),
            s.newest.clone(),
            s.committed_at.clone(),
            s.lane.clone(),
        ]
    };
    output::table(&head, found.iter().map(row))
}
