//! `reconverge capture`: contests of a running pipeline into a file.

use serde::Serialize;

use crate::assemble::{self, Wanted};

use super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output,
    plugin::Capture,
};

#[derive(Serialize)]
struct Taken {
    file: String,
    contests: usize,
    /// Changes that were looked at and are not in it.
    left_out: u64,
}

pub(super) async fn capture(global: &Global, asked: &Capture) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Warn, &Bar::default())?;
    if let Some(name) = &asked.table
        && connect::table(&pipeline, name).is_none()
    {
        return Err(Failure::new(Exit::Configuration, format!("the pipeline has no table `{name}`"))
            .hint("name one of its [[table]]"));
    }
    let wanted = Wanted { events: asked.events, table: asked.table.clone(), decided: asked.decided };
    let captured = assemble::capture(&pipeline, &wanted, &asked.out).await?;
    captured.file.write()?;
    let taken = Taken {
        file: asked.out.display().to_string(),
        contests: captured.file.contests.len(),
        left_out: captured.left_out,
    };
    output::show(global.json, &taken, |taken| {
        format!(
            "{} contests in {}; {} changes left out\n\n  reconverge plugin test PLUGIN --golden {} --update\n",
            taken.contests, taken.file, taken.left_out, taken.file
        )
    })?;
    Ok(Exit::Done)
}
