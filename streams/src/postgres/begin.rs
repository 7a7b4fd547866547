//! Beginning a batch: the statements that lock and read what stands, sent in one go, and what to do when one of
//! them fails.

use std::borrow::Cow;

use tokio_postgres::{Error, Row};

use crate::{
    columns::{Column, Columns},
    event::Event,
    logical::Logical,
    position::Micros,
    sink::SinkError,
    standing::{Standing, StandingTable, Wanted, WantedTable},
    table::TableId,
};

use super::{
    ahead::Begun,
    cells::{self, Unlike},
    claim::{Facts, PostgresClaim},
    events,
    fate::{self, Fate},
    generation, kept, lane,
    params::Param,
    retention,
    session::{self, Call, Session},
    standing::{self, Found, Known, Open},
    target::Target,
    travel::Wire,
};

/// How often a batch is begun before its error is told: a lost connection, a changed table, an unreadable key.
const TRIES_MAX: u32 = 4;

/// Why a batch did not begin, or rows beside it could not be read.
pub(super) enum NotBegun {
    Fenced,
    Unlike(Unlike),
    /// The error, and the table whose rows were asked for.
    Server(Error, Option<usize>),
    /// The table is not as planned.
    Table(TableId, Error),
}

/// What stands, and what is known of each key, table by table.
type Stood = (Vec<StandingTable>, Vec<Vec<Known>>);

/// What the two statements of each table found: versions, rows.
type FoundRows = Vec<[Vec<Row>; 2]>;

/// What the server said beside the rows.
struct Said {
    /// The transaction's own.
    xid: u32,
    /// Events that were seen before.
    events: Vec<Event>,
    /// The number of a new generation.
    generation: Option<i64>,
}

/// What the first round of questions found.
pub(super) struct Asked {
    said: Said,
    found: FoundRows,
    /// By target: the commit time up to which tombstones may have gone.
    horizons: Vec<(i16, Micros)>,
}

/// A statement of a batch's beginning.
pub(super) struct Question<'a> {
    pub sql: Cow<'static, str>,
    pub params: Vec<Param<'a>>,
    /// The table of the batch whose rows it asks for.
    table: Option<usize>,
}

impl<'a> Question<'a> {
    fn new(sql: &'static str, params: Vec<Param<'a>>) -> Self {
        Question { sql: sql.into(), params, table: None }
    }
}

impl From<Unlike> for NotBegun {
    fn from(unlike: Unlike) -> Self {
        NotBegun::Unlike(unlike)
    }
}

impl From<Error> for NotBegun {
    fn from(error: Error) -> Self {
        NotBegun::Server(error, None)
    }
}

impl NotBegun {
    /// The error for the host.
    pub(super) fn told(self, lane: &str, doing: &str) -> SinkError {
        match self {
            NotBegun::Fenced => SinkError::Fenced(lane.into()),
            NotBegun::Unlike(unlike) => lane::unlike(unlike),
            NotBegun::Server(error, _) => fate::sink_error(&error, doing),
            NotBegun::Table(table, error) => SinkError::Table(table, fate::cause(&error, None)),
        }
    }
}

impl PostgresClaim {
    /// Opens the batch's transaction as asked, or takes the one that was begun with the last commit; after errors that
    /// another try mends, again.
    pub(super) async fn open(&mut self, wanted: Wanted) -> Result<(Standing, Open), SinkError> {
        let failed = |e: &Error| fate::sink_error(e, "reading what stands");
        let mut picked: Vec<Option<Vec<u32>>> = vec![None; wanted.tables.len()];
        let mut tries = 0;
        let mut begun = self.begun_for(&wanted).await;
        loop {
            tries += 1;
            self.connected().await?;
            self.as_planned().await?;
            let not_begun = match self.stand(&wanted, &picked, begun.take()).await {
                Ok(((tables, known), Said { xid, events, generation })) => {
                    return Ok((
                        Standing { tables, events, generation },
                        Open { wanted, known, xid, families: Vec::new(), taken_over: Vec::new() },
                    ));
                }
                Err(not_begun) => not_begun,
            };
            self.close().await;
            match not_begun {
                NotBegun::Fenced => return Err(SinkError::Fenced(self.facts.lane.clone())),
                NotBegun::Unlike(unlike) => {
                    self.doubtful = true;
                    self.as_planned().await?;
                    return Err(lane::unlike(unlike));
                }
                NotBegun::Table(table, error) => {
                    return Err(SinkError::Table(table, fate::cause(&error, None)));
                }
                NotBegun::Server(error, table) => match (fate::of(&error), table) {
                    (Fate::Lost | Fate::Stale, _) if tries < TRIES_MAX => self.doubtful = true,
                    (Fate::Table, Some(at)) => {
                        let table = wanted.tables[at].table;
                        let name = &self.facts.target(table).shape.name;
                        return Err(SinkError::Table(table, fate::cause(&error, Some(name))));
                    }
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

    /// Opens the transaction, where it is not begun already, and reads and locks what stands.
    async fn stand(
        &mut self,
        wanted: &Wanted,
        picked: &[Option<Vec<u32>>],
        begun: Option<Begun>,
    ) -> Result<(Stood, Said), NotBegun> {
        let Asked { said, found, horizons } = match begun {
            Some(begun) => begun.asked,
            None => self.ask(wanted, picked).await?,
        };
        let (mut tables, known) = self.put_together(&wanted.tables, picked, found).await?;
        for (standing, table) in tables.iter_mut().zip(&wanted.tables) {
            let id = self.facts.target(table.table).id;
            standing.too_old_through = horizons.iter().find(|(target, _)| *target == id).map(|(_, at)| *at);
        }
        Ok(((tables, known), said))
    }

    /// What was found, as what stands; what has to be asked besides is asked: kept rows, times of local writes.
    pub(super) async fn put_together(
        &mut self,
        wanted: &[WantedTable],
        picked: &[Option<Vec<u32>>],
        found: FoundRows,
    ) -> Result<Stood, NotBegun> {
        let server = |e| NotBegun::Server(e, None);
        let (mut tables, mut known, mut local) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (table, [versions, rows])) in wanted.iter().zip(found).enumerate() {
            let Facts { shared, targets, ids, lane, .. } = &mut self.facts;
            let (target, picked) = (&targets[table.table.index()], picked[at].as_deref());
            let found = Found { target, wanted: table, versions, rows, picked, lane };
            let mut read = match standing::read(&found, ids) {
                Ok(read) => read,
                // Another process may have met a new source.
                Err(unlike) => {
                    let reads = shared.reads().await.map_err(|_| unlike)?;
                    ids.load(&reads).await.map_err(server)?;
                    standing::read(&found, ids)?
                }
            };
            if kept::any(&read.0) {
                let asked = vec![Param::Int2(target.id), Param::Keys(&table.keys)];
                let rows = self.session.query(kept::READ, asked).await.map_err(server)?;
                kept::read(&self.facts, table, &rows, &mut read.0)?;
            }
            tables.push(read.0);
            known.push(read.1);
            local.extend(read.2.into_iter().map(|(key, xmin)| (at, key, xmin)));
        }
        if self.keeps_commit_times && !local.is_empty() {
            self.commit_times(&local, &mut tables).await?;
        }
        Ok((tables, known))
    }

    /// Sends all statements of a batch's beginning.
    async fn ask(&mut self, wanted: &Wanted, picked: &[Option<Vec<u32>>]) -> Result<Asked, NotBegun> {
        let gate = [standing::gate_key(&self.facts.lane)];
        let questions = asking(&self.facts, self.checkpoint.epoch, wanted, picked, &gate);
        let calls = prepared(&mut self.session, questions).await?;
        self.in_transaction = true;
        let results = self.session.pipeline(Some("BEGIN"), calls, None).await;
        answered(wanted, results)
    }

    /// When the application's writes committed, as far as the server still knows.
    async fn commit_times(
        &mut self,
        local: &[(usize, usize, u32)],
        tables: &mut [StandingTable],
    ) -> Result<(), NotBegun> {
        let mut xids = Column::new(Logical::Int);
        local.iter().for_each(|(_, _, xmin)| xids.push_int(i64::from(*xmin)));
        let times = "SELECT pg_xact_commit_timestamp(u.x) FROM unnest($1::xid[]) WITH ORDINALITY AS u(x, ord) ORDER BY u.ord";
        let rows = self.session.query(times, vec![Param::Own(xids, Wire::Xid)]).await;
        let rows = rows.map_err(|e| NotBegun::Server(e, None))?;
        for ((table, key, _), row) in local.iter().zip(&rows) {
            let at: Option<Micros> = cells::raw(row, 0)?.map(cells::micros).transpose()?;
            if let Some(write) = &mut tables[*table].keys[*key].local {
                write.at = at;
            }
        }
        Ok(())
    }

    /// The keys of a table that are values of their columns' types. The others cannot stand; writing them is
    /// then their own change's error.
    pub(super) async fn readable(&self, target: &Target, cells: &Columns) -> Result<Vec<u32>, Error> {
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

/// Which of a table's two statements are sent: one over no key finds nothing.
fn is_asked(table: &WantedTable) -> [bool; 2] {
    let any = !table.keys.is_empty();
    [any || !table.versions, any]
}

/// The statements of a batch's beginning, behind its BEGIN: the lock, what stands, and the tables' horizons. Those are
/// asked last: a tombstone that the versions did not show any more has then raised its table's horizon already.
pub(super) fn asking<'a>(
    facts: &'a Facts,
    epoch: i64,
    wanted: &'a Wanted,
    picked: &'a [Option<Vec<u32>>],
    gate: &'a [Vec<u8>],
) -> Vec<Question<'a>> {
    let [epoch, from] = [epoch, wanted.from.cast_signed()].map(Param::Int8);
    let mut all = vec![Question::new(standing::LOCK, vec![Param::Text(&facts.lane), epoch, from])];
    if let Some(new) = &wanted.generation {
        let params = generation::numbering(&facts.lane, wanted.from, new);
        all.push(Question::new(generation::NUMBER_GENERATION, params));
    }
    all.extend(questions(facts, &wanted.tables, picked, gate));
    if !wanted.events.is_empty() {
        all.push(Question::new(events::READ, events::asked(facts, &wanted.events)));
    }
    all.push(Question::new(retention::HORIZONS, Vec::new()));
    all
}

/// The answers to [`asking`], that to BEGIN first.
pub(super) fn answered(wanted: &Wanted, results: Vec<Result<Vec<Row>, Error>>) -> Result<Asked, NotBegun> {
    let mut results = results.into_iter();
    let mut next = || results.next().transpose().map(Option::unwrap_or_default);
    next()?;
    let lock = next()?;
    let xid = lock.first().map(|row| cells::raw(row, 0)).transpose()?.flatten().ok_or(NotBegun::Fenced)?;
    let xid = cells::xid(xid)?;
    let numbered = if wanted.generation.is_some() { next()? } else { Vec::new() };
    let generation = numbered.first().map(|row| row.get(0));
    let found = answers(&wanted.tables, &mut results)?;
    let mut next = || results.next().transpose().map(Option::unwrap_or_default);
    let seen = if wanted.events.is_empty() { Vec::new() } else { next()? };
    let horizons = next()?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let events = events::seen(&wanted.events, &seen)?;
    Ok(Asked { said: Said { xid, events, generation }, found, horizons })
}

/// The statements that lock and read what stands: per table its versions, or the lane's gate, and its rows.
pub(super) fn questions<'a>(
    facts: &'a Facts,
    tables: &'a [WantedTable],
    picked: &'a [Option<Vec<u32>>],
    gate: &'a [Vec<u8>],
) -> Vec<Question<'a>> {
    let mut all = Vec::with_capacity(2 * tables.len());
    for (at, (table, picked)) in tables.iter().zip(picked).enumerate() {
        let target = facts.target(table.table);
        let [versions, rows] = is_asked(table);
        if versions {
            let keys = if table.versions { Param::Keys(&table.keys) } else { Param::Byteas(gate) };
            all.push(Question::new(standing::VERSIONS, vec![Param::Int2(target.id), keys]));
        }
        if rows {
            let params = standing::key_params(target, &table.cells, picked.as_deref());
            all.push(Question { sql: target.select().into(), params, table: Some(at) });
        }
    }
    all
}

/// The same, ready to be sent; an error of a table's rows names the table.
pub(super) async fn prepared<'a>(
    session: &mut Session,
    questions: Vec<Question<'a>>,
) -> Result<Vec<Call<'a>>, NotBegun> {
    let mut calls = Vec::with_capacity(questions.len());
    for Question { sql, params, table } in questions {
        let statement = session.prepare(&sql).await.map_err(|e| NotBegun::Server(e, table))?;
        calls.push(Call { statement, params });
    }
    Ok(calls)
}

/// The answers to [`questions`]; an error of a table's rows names the table.
pub(super) fn answers(
    tables: &[WantedTable],
    results: &mut impl Iterator<Item = Result<Vec<Row>, Error>>,
) -> Result<FoundRows, NotBegun> {
    let mut found = Vec::with_capacity(tables.len());
    for (at, table) in tables.iter().enumerate() {
        let [versions, rows] = is_asked(table);
        let mut next = |is_sent: bool| if is_sent { results.next().transpose() } else { Ok(None) };
        let versions = next(versions).map_err(|e| NotBegun::Server(e, None))?.unwrap_or_default();
        let rows = next(rows).map_err(|e| NotBegun::Server(e, Some(at)))?.unwrap_or_default();
        found.push([versions, rows]);
    }
    Ok(found)
}
