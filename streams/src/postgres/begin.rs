//! Beginning a batch: the statements that lock and read what stands, sent in one go, and what to do when one of
//! them fails.

use tokio_postgres::{Error, Row};

use crate::{
    columns::{Column, Columns},
    logical::Logical,
    position::Micros,
    sink::SinkError,
    standing::{Standing, Wanted},
};

use super::{
    cells::{self, Unlike},
    claim::{Facts, PostgresClaim},
    fate::{self, Fate},
    lane,
    params::Param,
    session::{self, Call},
    standing::{self, Found, Known, Open},
    target::Target,
    types::Wire,
};

/// How often a batch is begun before its error is told: a lost connection, a changed table, an unreadable key.
const TRIES_MAX: u32 = 4;

/// Why a batch did not begin.
enum NotBegun {
    Fenced,
    Unlike(Unlike),
    /// The error, and the table whose rows were asked for.
    Server(Error, Option<usize>),
}

/// What stands, what is known of each key, and the transaction's id.
type Stood = (Standing, Vec<Vec<Known>>, u32);

impl From<Unlike> for NotBegun {
    fn from(unlike: Unlike) -> Self {
        NotBegun::Unlike(unlike)
    }
}

impl PostgresClaim {
    /// Opens the batch's transaction as asked; after errors that another try mends, again.
    pub(super) async fn open(&mut self, wanted: Wanted) -> Result<(Standing, Open), SinkError> {
        let failed = |e: &Error| fate::sink_error(e, "reading what stands");
        let mut picked: Vec<Option<Vec<u32>>> = vec![None; wanted.tables.len()];
        let mut tries = 0;
        loop {
            tries += 1;
            self.connected().await?;
            let not_begun = match self.stand(&wanted, &picked).await {
                Ok((standing, known, xid)) => return Ok((standing, Open { wanted, known, xid })),
                Err(not_begun) => not_begun,
            };
            self.close().await;
            match not_begun {
                NotBegun::Fenced => return Err(SinkError::Fenced(self.facts.lane.clone())),
                NotBegun::Unlike(unlike) => return Err(lane::unlike(unlike)),
                NotBegun::Server(error, table) => match (fate::of(&error), table) {
                    (Fate::Lost | Fate::Stale, _) if tries < TRIES_MAX => self.session.forget(),
                    (Fate::Data, Some(at)) if tries < TRIES_MAX && picked[at].is_none() => {
                        let table = &wanted.tables[at];
                        let readable = self.readable(self.facts.target(table.table), &table.cells).await;
                        picked[at] = Some(readable.map_err(|e| failed(&e))?);
                    }
                    _ => {
                        self.session.forget();
                        return Err(failed(&error));
                    }
                },
            }
        }
    }

    /// Opens the transaction, and reads and locks what stands.
    async fn stand(&mut self, wanted: &Wanted, picked: &[Option<Vec<u32>>]) -> Result<Stood, NotBegun> {
        let (xid, found) = self.ask(wanted, picked).await?;
        let server = |e| NotBegun::Server(e, None);
        let (mut standing, mut known, mut local) = (Standing::default(), Vec::new(), Vec::new());
        let Facts { shared, targets, ids, .. } = &mut self.facts;
        for (at, (table, [versions, rows])) in wanted.tables.iter().zip(found).enumerate() {
            let (target, picked) = (&targets[table.table.index()], picked[at].as_deref());
            let found = Found { target, wanted: table, versions, rows, picked };
            let read = match standing::read(&found, ids) {
                Ok(read) => read,
                // Another process may have met a new source.
                Err(unlike) => {
                    let reads = shared.reads().await.map_err(|_| unlike)?;
                    ids.load(&reads).await.map_err(server)?;
                    standing::read(&found, ids)?
                }
            };
            standing.tables.push(read.0);
            known.push(read.1);
            local.extend(read.2.into_iter().map(|(key, xmin)| (at, key, xmin)));
        }
        if self.keeps_commit_times && !local.is_empty() {
            self.commit_times(&local, &mut standing).await?;
        }
        Ok((standing, known, xid))
    }

    /// Sends all statements of a batch's beginning; gives the transaction's id, and per table the rows of its
    /// versions and its own.
    async fn ask(
        &mut self,
        wanted: &Wanted,
        picked: &[Option<Vec<u32>>],
    ) -> Result<(u32, Vec<[Vec<Row>; 2]>), NotBegun> {
        let server = |e| NotBegun::Server(e, None);
        let gate = [standing::gate_key(&self.facts.lane)];
        let statement = self.session.prepare(standing::LOCK).await.map_err(server)?;
        let [epoch, from] = [self.checkpoint.epoch, wanted.from.cast_signed()].map(Param::Int8);
        let mut calls = vec![Call { statement, params: vec![Param::Text(&self.facts.lane), epoch, from] }];
        for (table, picked) in wanted.tables.iter().zip(picked) {
            let target = self.facts.target(table.table);
            let keys = if table.versions { table.keys.as_slice() } else { gate.as_slice() };
            let statement = self.session.prepare(standing::VERSIONS).await.map_err(server)?;
            calls.push(Call { statement, params: vec![Param::Int2(target.id), Param::Byteas(keys)] });
            let statement = self.session.prepare(&target.select()).await.map_err(server)?;
            calls.push(Call {
                statement,
                params: standing::key_params(target, &table.cells, picked.as_deref()),
            });
        }
        self.in_transaction = true;
        let mut results = self.session.pipeline(Some("BEGIN"), calls, None).await.into_iter();
        let mut next = || results.next().transpose();
        next().map_err(server)?;
        let lock = next().map_err(server)?.unwrap_or_default();
        let xid =
            lock.first().map(|row| cells::raw(row, 0)).transpose()?.flatten().ok_or(NotBegun::Fenced)?;
        let mut found = Vec::with_capacity(wanted.tables.len());
        for at in 0..wanted.tables.len() {
            let versions = next().map_err(server)?.unwrap_or_default();
            found.push([versions, next().map_err(|e| NotBegun::Server(e, Some(at)))?.unwrap_or_default()]);
        }
        Ok((cells::xid(xid)?, found))
    }

    /// When the application's writes committed, as far as the server still knows.
    async fn commit_times(
        &mut self,
        local: &[(usize, usize, u32)],
        standing: &mut Standing,
    ) -> Result<(), NotBegun> {
        let mut xids = Column::new(Logical::Int);
        local.iter().for_each(|(_, _, xmin)| xids.push_int(i64::from(*xmin)));
        let times = "SELECT pg_xact_commit_timestamp(u.x) FROM unnest($1::xid[]) WITH ORDINALITY AS u(x, ord) ORDER BY u.ord";
        let rows = self.session.query(times, vec![Param::Own(xids, Wire::Xid)]).await;
        let rows = rows.map_err(|e| NotBegun::Server(e, None))?;
        for ((table, key, _), row) in local.iter().zip(&rows) {
            let at: Option<Micros> = cells::raw(row, 0)?.map(cells::micros).transpose()?;
            if let Some(write) = &mut standing.tables[*table].keys[*key].local {
                write.at = at;
            }
        }
        Ok(())
    }

    /// The keys of a table that are values of their columns' types. The others cannot stand; writing them is
    /// then their own change's error.
    async fn readable(&self, target: &Target, cells: &Columns) -> Result<Vec<u32>, Error> {
        let Ok(reads) = self.facts.shared.reads().await else {
            return Ok((0..).take(cells.rows()).collect());
        };
        let statement = reads.prepare(&target.cast_keys()).await?;
        let mut readable = Vec::new();
        let mut open: Vec<Vec<u32>> = vec![(0..).take(cells.rows()).collect()];
        while let Some(range) = open.pop() {
            let call = Call {
                statement: statement.clone(),
                params: standing::key_params(target, cells, Some(&range)),
            };
            match session::rows(&reads, call).await {
                Ok(_) => readable.extend(range),
                Err(error) if fate::of(&error) != Fate::Data => return Err(error),
                Err(_) if range.len() > 1 => {
                    let (left, right) = range.split_at(range.len() / 2);
                    open.extend([right.to_vec(), left.to_vec()]);
                }
                Err(_) => {}
            }
        }
        readable.sort_unstable();
        Ok(readable)
    }
}
