//! Tables that changed under a claim: found when a claim is taken, when a connection is new, and when the server says
//! that a statement's table is another than it was prepared for. A table that is not what the plan has is never read: a
//! column that turned into another type of the same length would be read wrong in silence.
//!
//! Reads of whole rows are prepared as soon as the tables were looked at, so that the server tells of any change after
//! that (SQLSTATE 0A000, "cached plan must not change result type").

use std::sync::Arc;

use tokio_postgres::{Client, Error};

use crate::{
    sink::{Cause, ClaimRequest, SinkError, TableName},
    table::{TableId, TableShape},
};

use super::{
    Shared,
    catalog::{self, CatalogTable},
    claim::PostgresClaim,
    fate, ids,
    session::Session,
    shapes,
    target::Target,
};

/// The plan's tables as they are now. Those that are not what the plan has are paused.
pub(super) async fn targets(
    shared: &Shared,
    client: &Client,
    request: &ClaimRequest,
) -> Result<Vec<Target>, SinkError> {
    let failed = |e: Error| fate::sink_error(&e, "reading the catalog");
    let mut targets = Vec::with_capacity(request.tables.len());
    for shape in &request.tables {
        let found = catalog::find(client, &shared.schema, &shape.name).await.map_err(failed)?;
        let name = match &found {
            Some(table) => table.full_name(),
            None if shape.name.contains('.') => shape.name.clone(),
            None => format!("{}.{}", shared.schema, shape.name),
        };
        let id = ids::target(client, &name, shape).await.map_err(failed)?;
        let target = match (unlike(shape, found.as_ref(), &shared.schema), &found) {
            (None, Some(table)) => Target::new(id, Arc::clone(shape), table).ok(),
            (why, _) => {
                let why = why.unwrap_or_else(|| "the table is gone".into());
                pause(client, id, &why).await.map_err(failed)?;
                None
            }
        };
        targets.push(target.unwrap_or_else(|| Target::gone(id, Arc::clone(shape))));
    }
    Ok(targets)
}

/// Pauses a table by its number; one that is paused keeps its reason.
async fn pause(client: &Client, id: i16, reason: &str) -> Result<(), Error> {
    let sql = "UPDATE reconverge.target SET paused = $2 WHERE id = $1 AND paused IS NULL";
    client.execute(sql, &[&id, &reason]).await.map(drop)
}

/// What keeps a table from being what the plan has; `None`: nothing.
fn unlike(planned: &TableShape, found: Option<&CatalogTable>, schema: &str) -> Option<String> {
    let key = planned.key.iter().map(|&k| planned.columns[k].name.clone()).collect();
    match shapes::shape(&TableName { name: planned.name.clone(), key }, found, schema) {
        Ok(now) => planned.unlike(&now),
        Err(problems) => Some(problems.into_iter().map(|p| p.what).collect::<Vec<_>>().join("; ")),
    }
}

/// Prepares the reads of whole rows. One that cannot be prepared any more tells so when it is used.
pub(super) async fn prepare_reads(session: &mut Session, targets: &[Target]) {
    for target in targets.iter().filter(|target| !target.is_gone) {
        if let Err(error) = session.prepare(&target.select()).await {
            tracing::debug!(
                table = target.shape.name,
                error = fate::cause(&error, None).code,
                "not prepared"
            );
        }
    }
}

impl PostgresClaim {
    /// Looks at the tables again, where there was a reason to doubt them. No transaction may be open.
    pub(super) async fn as_planned(&mut self) -> Result<(), SinkError> {
        if !self.doubtful {
            return Ok(());
        }
        let schema = &self.facts.shared.schema;
        for (id, target) in (0..).map(TableId).zip(&self.facts.targets) {
            if self.aside.contains(&id) {
                continue;
            }
            let found = catalog::find(&self.session.client, schema, &target.shape.name).await;
            let found = found.map_err(|e| fate::sink_error(&e, "reading the catalog"))?;
            if let Some(text) = unlike(&target.shape, found.as_ref(), schema) {
                return Err(SinkError::Table(id, Cause { code: "other-shape".into(), text }));
            }
        }
        self.session.forget();
        prepare_reads(&mut self.session, &self.facts.targets).await;
        self.doubtful = false;
        Ok(())
    }
}
