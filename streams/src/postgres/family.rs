//! Parents and children of a batch's rows, asked inside its transaction once it is decided who stands.
//!
//! Every parent that is named is locked first, by an advisory lock of the transaction: exclusively where it comes or
//! leaves, shared where a child looks for it. The statements behind that lock see what its last holder committed,
//! so a child that is kept back and the parent that comes meanwhile cannot miss each other.
//!
//! Never writes. Children are found by the columns that name the parent: an index on them spares a scan.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Error, Row};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    canonical,
    columns::{Column, Columns, State},
    family::{Family, FamilyWanted, Keys, Presence, Relatives},
    keys::KeyList,
    logical::Logical,
    sink::SinkError,
    standing::WantedTable,
    table::TableId,
};

use super::{
    begin::{self, NotBegun},
    cells::{self, Unlike},
    claim::{Facts, PostgresClaim},
    fate::{self, Fate},
    params::Param,
    session::Call,
    standing::{self, Asked, Open, Related},
    travel::Wire,
};

/// Locks parents in the order of their hashes, until the transaction ends.
const LOCK: &str = "SELECT CASE WHEN u.alone THEN pg_advisory_xact_lock(u.hash) \
    ELSE pg_advisory_xact_lock_shared(u.hash) END FROM unnest($1::int8[], $2::bool[]) AS u(hash, alone)";

/// What is known of keys whose row may not be there, by place: the version's letter, and whether there is an open
/// dead letter. Parameters: the table's number, the keys.
const KNOWN: &str = "SELECT u.ord, v.standing, \
    EXISTS (SELECT FROM reconverge.dead_letter d WHERE d.target = $1::smallint AND d.key = u.key AND d.state = 'open') \
    FROM unnest($2::bytea[]) WITH ORDINALITY AS u(key, ord) \
    LEFT JOIN LATERAL (SELECT w.standing FROM reconverge.version w WHERE w.target = $1::smallint AND w.key = u.key \
    OFFSET 0) v ON true";

/// The kept rows that wait for some parents. Parameters: the parents' number, their keys.
const WAITING: &str = "SELECT p.target, p.key FROM unnest($2::bytea[]) AS u(key) \
    CROSS JOIN LATERAL (SELECT q.target, q.key FROM reconverge.parked q WHERE q.waits_target = $1::smallint \
    AND q.waits_key = u.key AND q.why IN ('parent', 'orphaned') OFFSET 0) p";

/// One part of what is asked, with the keys that the server can read (`None`: all).
struct Part<'a> {
    what: What<'a>,
    keys: &'a Keys,
    picked: Option<Vec<u32>>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    /// Whether they stand.
    Parents(TableId),
    /// Who waits for them.
    Waiting(TableId),
    /// Which rows of the child's table name them by these columns.
    Children { child: TableId, columns: &'a [usize], parent: TableId },
}

impl What<'_> {
    /// The table whose keys are given.
    fn parent(self) -> TableId {
        match self {
            What::Parents(parent) | What::Waiting(parent) | What::Children { parent, .. } => parent,
        }
    }

    /// The user's table that is read.
    fn looked_at(self) -> Option<TableId> {
        match self {
            What::Parents(table) | What::Children { child: table, .. } => Some(table),
            What::Waiting(_) => None,
        }
    }

    /// Whether keys travel as cells, which the server may not be able to read.
    fn has_cells(self) -> bool {
        !matches!(self, What::Waiting(_))
    }
}

/// An error of a statement over a table of the user's.
fn not_as_planned(error: Error, table: Option<TableId>) -> NotBegun {
    match table {
        Some(table) if fate::of(&error) == Fate::Table => NotBegun::Table(table, error),
        _ => NotBegun::Server(error, None),
    }
}

/// Relatives found, by table.
type Found = BTreeMap<TableId, BTreeSet<Vec<u8>>>;

impl PostgresClaim {
    /// See [`crate::sink::Claim::family`]; remembers what was asked, for a batch that is written in order.
    pub(super) async fn ask_family(
        &mut self,
        open: &mut Open,
        wanted: FamilyWanted,
    ) -> Result<Family, SinkError> {
        let name = self.facts.lane.clone();
        let failed = |not_begun: NotBegun| not_begun.told(&name, "looking for parents and children");
        let (parents, waiting, children) = self.find(&wanted).await.map_err(failed)?;
        let to_read = |found: &Found| -> Vec<WantedTable> {
            let all = found.iter().map(|(table, keys)| wanted_table(&self.facts, *table, keys));
            all.filter(|wanted| !wanted.keys.is_empty()).collect()
        };
        let (mut kin, named) = (to_read(&waiting), to_read(&children));
        let first_child = kin.len();
        kin.extend(named);
        let (tables, known) = self.stand_beside(&kin).await.map_err(failed)?;
        let mut family = Family { parents: parents.clone(), ..Family::default() };
        let mut relatives = Vec::with_capacity(kin.len());
        for (at, ((wanted, standing), known)) in kin.into_iter().zip(tables).zip(known).enumerate() {
            relatives.push(Related { table: wanted.table, keys: wanted.keys.clone(), known });
            let of = if at < first_child { &mut family.waiting } else { &mut family.children };
            of.push(Relatives { table: wanted.table, keys: wanted.keys, standing });
        }
        open.families.push(Asked { wanted, parents, relatives });
        Ok(family)
    }

    /// Locks the parents; whether they stand, and the keys of who waits for them or names them.
    async fn find(&mut self, wanted: &FamilyWanted) -> Result<(Vec<Vec<Presence>>, Found, Found), NotBegun> {
        let mut parts = parts(wanted);
        let rows = match self.send(wanted, &parts).await {
            // A key that the server cannot read cannot stand: the others are asked for without it.
            Err(NotBegun::Server(error, _)) if fate::of(&error) == Fate::Data => {
                self.back_to_savepoint().await?;
                for part in parts.iter_mut().filter(|p| p.what.has_cells()) {
                    let target = self.facts.target(part.what.parent());
                    part.picked = Some(self.readable(target, &part.keys.cells).await?);
                }
                self.send(wanted, &parts).await
            }
            sent => sent,
        };
        let mut rows = rows?.into_iter();
        let mut next = || rows.next().unwrap_or_default();
        let (mut parents, mut waiting, mut children) = (Vec::new(), Found::new(), Found::new());
        for part in &parts {
            match part.what {
                What::Parents(_) => parents.push(presences(part, &next(), &next())?),
                What::Waiting(_) => self.facts.collect_waiting(&next(), &mut waiting)?,
                What::Children { child, .. } => self.facts.collect_children(child, &next(), &mut children)?,
            }
        }
        Ok((parents, waiting, children))
    }

    /// Sends the lock and all questions in one go.
    async fn send(&mut self, wanted: &FamilyWanted, parts: &[Part<'_>]) -> Result<Vec<Vec<Row>>, NotBegun> {
        let lock = locks(&self.facts, wanted);
        let mut calls = vec![Call { statement: self.session.prepare(LOCK).await?, params: lock }];
        // The user's table that each statement looks at; the savepoint's and the sidecar's at none.
        let mut about = vec![None, None];
        for part in parts {
            let looked_at = part.what.looked_at();
            let of_table = |e| not_as_planned(e, looked_at);
            let parent = self.facts.target(part.what.parent());
            let (number, keys) = (Param::Int2(parent.id), Param::Keys(&part.keys.keys));
            let cells = || standing::key_params(parent, &part.keys.cells, part.picked.as_deref());
            match part.what {
                What::Parents(_) => {
                    let statement = self.session.prepare(&parent.stands()).await.map_err(of_table)?;
                    calls.push(Call { statement, params: cells() });
                    let statement = self.session.prepare(KNOWN).await?;
                    calls.push(Call { statement, params: vec![number, keys] });
                    about.extend([looked_at, None]);
                }
                What::Waiting(_) => {
                    let statement = self.session.prepare(WAITING).await?;
                    calls.push(Call { statement, params: vec![number, keys] });
                    about.push(None);
                }
                What::Children { child, columns, .. } => {
                    let sql = self.facts.target(child).naming(columns, parent, wanted.children_max);
                    let statement = self.session.prepare(&sql).await.map_err(of_table)?;
                    calls.push(Call { statement, params: cells() });
                    about.push(looked_at);
                }
            }
        }
        let results =
            self.session.pipeline(Some("SAVEPOINT family"), calls, Some("RELEASE SAVEPOINT family")).await;
        let about = about.into_iter().chain(std::iter::repeat(None));
        let of_table = |(rows, table): (Result<_, Error>, _)| rows.map_err(|e| not_as_planned(e, table));
        let mut rows = results.into_iter().zip(about).map(of_table).collect::<Result<Vec<_>, _>>()?;
        rows.drain(..2.min(rows.len()));
        Ok(rows)
    }

    async fn back_to_savepoint(&self) -> Result<(), NotBegun> {
        self.session
            .say("ROLLBACK TO SAVEPOINT family; RELEASE SAVEPOINT family")
            .await
            .map_err(NotBegun::from)
    }

    /// Reads and locks relatives as `begin` does the batch's own keys.
    async fn stand_beside(
        &mut self,
        kin: &[WantedTable],
    ) -> Result<(Vec<crate::standing::StandingTable>, Vec<Vec<standing::Known>>), NotBegun> {
        let mut picked = vec![None; kin.len()];
        loop {
            match self.ask_beside(kin, &picked).await {
                Ok(found) => return self.put_together(kin, &picked, found).await,
                Err(NotBegun::Server(error, Some(at)))
                    if fate::of(&error) == Fate::Data && picked[at].is_none() =>
                {
                    self.back_to_savepoint().await?;
                    let target = self.facts.target(kin[at].table);
                    picked[at] = Some(self.readable(target, &kin[at].cells).await?);
                }
                Err(NotBegun::Server(error, Some(at))) => {
                    return Err(not_as_planned(error, Some(kin[at].table)));
                }
                Err(not_begun) => return Err(not_begun),
            }
        }
    }

    async fn ask_beside(
        &mut self,
        kin: &[WantedTable],
        picked: &[Option<Vec<u32>>],
    ) -> Result<Vec<[Vec<Row>; 2]>, NotBegun> {
        if kin.is_empty() {
            return Ok(Vec::new());
        }
        let questions = begin::questions(&self.facts, kin, picked, &[]);
        let calls = begin::prepared(&mut self.session, questions).await?;
        let results =
            self.session.pipeline(Some("SAVEPOINT family"), calls, Some("RELEASE SAVEPOINT family")).await;
        let mut results = results.into_iter();
        results.next().transpose()?;
        begin::answers(kin, &mut results)
    }
}

impl Facts {
    /// Rows of [`WAITING`].
    fn collect_waiting(&self, rows: &[Row], into: &mut Found) -> Result<(), Unlike> {
        for row in rows {
            let child = cells::int(cells::raw(row, 0)?.ok_or(Unlike("number of a table"))?)?;
            // A row of a table that the plan does not list is another pipeline's to put in.
            if let Some(child) = self.table_of(child) {
                let key = cells::raw(row, 1)?.ok_or(Unlike("key"))?.to_vec();
                into.entry(child).or_default().insert(key);
            }
        }
        Ok(())
    }

    /// Key columns of the child's rows.
    fn collect_children(&self, child: TableId, rows: &[Row], into: &mut Found) -> Result<(), Unlike> {
        let shape = &self.target(child).shape;
        let mut found = Columns::new(shape.key_logicals());
        for row in rows {
            for (at, (&k, column)) in shape.key.iter().zip(&mut found.columns).enumerate() {
                cells::push(cells::raw(row, at)?, shape.columns[k].scale, column)?;
            }
            found.end_row();
        }
        let columns: Vec<&Column> = found.columns.iter().collect();
        let keys = into.entry(child).or_default();
        for row in 0..found.rows() {
            let mut key = Vec::new();
            canonical::key(&columns, row, &mut key);
            keys.insert(key);
        }
        Ok(())
    }
}

fn parts(wanted: &FamilyWanted) -> Vec<Part<'_>> {
    let part = |what, keys| Part { what, keys, picked: None };
    let parents = wanted.parents.iter().map(|(table, keys)| part(What::Parents(*table), keys));
    let waiting = wanted.waiting.iter().map(|(table, keys)| part(What::Waiting(*table), keys));
    let children = wanted
        .children
        .iter()
        .map(|c| part(What::Children { child: c.child, columns: &c.columns, parent: c.parent }, &c.parents));
    parents.chain(waiting).chain(children).collect()
}

/// The parameters of [`LOCK`]: one 64-bit hash per parent, ascending. Two parents of one hash share a lock, which
/// costs a wait and nothing else.
fn locks(facts: &Facts, wanted: &FamilyWanted) -> Vec<Param<'static>> {
    let mut alone: BTreeMap<i64, bool> = BTreeMap::new();
    for part in parts(wanted) {
        let number = facts.target(part.what.parent()).id;
        for key in part.keys.keys.iter() {
            let exclusive = !matches!(part.what, What::Parents(_));
            *alone.entry(lock_hash(number, key)).or_default() |= exclusive;
        }
    }
    let (mut hashes, mut flags) = (Column::new(Logical::Int), Column::new(Logical::Bool));
    for (hash, exclusive) in alone {
        hashes.push_int(hash);
        flags.push_bit(exclusive);
    }
    vec![Param::Own(hashes, Wire::Int8), Param::Own(flags, Wire::Bool)]
}

fn lock_hash(target: i16, key: &[u8]) -> i64 {
    let mut named = target.to_be_bytes().to_vec();
    named.extend_from_slice(key);
    xxh3_64(&named).cast_signed()
}

fn presences(part: &Part<'_>, there: &[Row], known: &[Row]) -> Result<Vec<Presence>, Unlike> {
    let place = |row: &Row| {
        let ord = cells::int(cells::raw(row, 0)?.ok_or(Unlike("place of a key"))?)?;
        usize::try_from(ord - 1).map_err(|_| Unlike("place of a key"))
    };
    let mut all = vec![Presence::Unknown; part.keys.keys.len()];
    for row in known {
        let letter = cells::raw(row, 1)?.and_then(|r| r.first().copied());
        let is_dead = cells::raw(row, 2)? == Some(&[1]);
        // A row that is kept beside waits itself, and may come.
        let gone = matches!(letter, Some(b'd' | b'a')) || is_dead && letter != Some(b'p');
        if gone && let Some(presence) = all.get_mut(place(row)?) {
            *presence = Presence::Gone;
        }
    }
    for row in there {
        let place = place(row)?;
        let at = part.picked.as_ref().map_or(Some(place), |p| p.get(place).map(|&p| p as usize));
        *at.and_then(|at| all.get_mut(at)).ok_or(Unlike("place of a key"))? = Presence::In;
    }
    Ok(all)
}

/// Keys to be read and locked like the batch's own, in the order of the keys.
fn wanted_table(facts: &Facts, table: TableId, keys: &BTreeSet<Vec<u8>>) -> WantedTable {
    let logicals: Vec<Logical> = facts.target(table).shape.key_logicals().collect();
    let mut wanted = WantedTable {
        table,
        keys: KeyList::default(),
        cells: Columns::new(logicals.iter().copied()),
        versions: true,
        order_columns: Vec::new(),
    };
    for key in keys {
        // A key of another shape of the table is no row of this one, nor is one with a null.
        let cells = canonical::key_cells(&logicals, key);
        if let Some(cells) = cells.filter(|c| c.columns.iter().all(|c| c.state(0) == State::Value)) {
            wanted.cells.push_row_from(&cells, 0);
            wanted.keys.push(key);
        }
    }
    wanted
}
