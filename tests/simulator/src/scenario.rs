//! What happens in a run, made from a seed: tables and their rules, what the sources publish and when, what the
//! application writes beside, and what goes wrong.

use reconverge_oracle::{Cell, Change, Deletes, Fate, Message, Op, Row, Rule, Table};

use crate::{
    faults::{Fault, How, When},
    random::Random,
};

/// The columns of every table: its key, two that may name parents, one that may order it, a mark that no other change
/// has, one that may be left out, and one that says what the stages do with the row.
pub const COLUMNS: [&str; 7] = ["id", "up", "root", "rank", "mark", "big", "kind"];
/// The place of the order column.
pub const RANK: usize = 3;
/// The place of the mark.
pub const MARK: usize = 4;
const BIG: usize = 5;
/// The place of the column that the stages go by.
pub const KIND: usize = 6;
/// What a filter lets go.
pub const FILTERED: i64 = 13;
/// What a residency rule lets go.
pub const SUPPRESSED: i64 = 14;
/// The region of the sink.
pub const REGION: &str = "here";
/// The regions that publish.
pub const SOURCES: [&str; 2] = ["east", "west"];
/// Long enough for any lease in a run to be over.
pub const FROZEN_MS: u64 = 40_000;

/// A run that is to be.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where all of it comes from; also that of the cuts of batches.
    pub seed: u64,
    /// The tables, parents first.
    pub tables: Vec<Table>,
    /// Whether a plugin decides in place of the rule `Greatest`.
    pub plugin: bool,
    /// Partitions of the stream, each a lane.
    pub partitions: u32,
    /// False for a work queue.
    pub keeps_acknowledged: bool,
    /// Processes that want the lanes.
    pub processes: usize,
    /// Most changes of a batch.
    pub rows: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// Something that happens, so many milliseconds after what came before.
#[derive(Clone, Debug)]
pub struct Step {
    /// The pause before it.
    pub pause_ms: u64,
    /// What it is.
    pub event: Event,
}

/// See [`Step`].
#[derive(Clone, Debug)]
pub enum Event {
    /// A source publishes.
    Publish {
        /// In this partition.
        partition: u32,
        /// A message.
        message: Message,
    },
    /// The application writes a row in the sink.
    Local {
        /// In this table.
        table: usize,
        /// The row.
        row: Row,
    },
    /// The stream lets go of what every lane has applied.
    Trim,
}

impl Scenario {
    /// One process that takes what is published in one partition, in batches of at most `rows`, with nothing wrong.
    #[must_use]
    pub fn plain(tables: Vec<Table>, rows: usize, messages: Vec<Message>) -> Scenario {
        let publish = |message| Step { pause_ms: 0, event: Event::Publish { partition: 0, message } };
        Scenario {
            seed: 0,
            tables,
            plugin: false,
            partitions: 1,
            keeps_acknowledged: true,
            processes: 1,
            rows,
            steps: messages.into_iter().map(publish).collect(),
            faults: Vec::new(),
        }
    }

    /// The scenario with rows of its first table that the application writes, at random moments; none where that table has
    /// parents, which the application would have to respect, or nobody names its rows. What waits for such a row is looked
    /// for by the lanes themselves, so that all is as it must be a while later.
    #[must_use]
    pub fn with_local_parents(mut self) -> Option<Scenario> {
        if self.tables.len() < 2 || !self.tables[0].parents.is_empty() || self.tables[1].parents.is_empty() {
            return None;
        }
        let mut random = Random::new(!self.seed);
        for n in 0..1 + i64::try_from(random.below(4)).unwrap() {
            let (id, mark) = (random.cell(6), 1_000_000 + n);
            let row = vec![Some(id), None, None, Some(random.cell(5)), Some(mark), Some(mark), Some(0)];
            let at = usize::try_from(random.below(self.steps.len() as u64 + 1)).unwrap();
            let event = Event::Local { table: 0, row };
            self.steps.insert(at, Step { pause_ms: random.below(2_000), event });
        }
        Some(self)
    }

    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Scenario {
        let mut random = Random::new(seed);
        let family = random.chance(50);
        let count = if family { 2 + random.below(2) } else { 1 + random.below(2) };
        let tables: Vec<Table> =
            (0..usize::try_from(count).unwrap()).map(|at| table(&mut random, at, family)).collect();
        let keeps_acknowledged = random.chance(75);
        let partitions = if keeps_acknowledged && random.chance(40) { 2 } else { 1 };
        let mut maker = Maker::new(random, tables, u64::from(partitions), !family);
        let length = 1 + maker.random.below(60);
        let steps = (0..length).map(|_| maker.step()).collect();
        let faults = faults(&mut maker.random, length);
        Scenario {
            seed,
            plugin: maker.random.chance(30),
            partitions,
            keeps_acknowledged,
            processes: usize::try_from(1 + maker.random.below(3)).unwrap(),
            rows: usize::try_from(1 + maker.random.below(24)).unwrap(),
            tables: maker.tables,
            steps,
            faults,
        }
    }
}

fn table(random: &mut Random, at: usize, family: bool) -> Table {
    let (rule, deletes) = match random.below(if family { 7 } else { 8 }) {
        0 => (Rule::TakeIncoming, Deletes::Win),
        1 => (Rule::KeepCurrent, Deletes::Win),
        2 => (Rule::CommitTime, Deletes::Ordered),
        3 => (Rule::CommitTime, Deletes::Win),
        4 => (Rule::Greatest(vec![RANK]), Deletes::Win),
        5 | 6 => (Rule::Greatest(vec![RANK]), Deletes::Ordered),
        _ => (Rule::None, Deletes::Win),
    };
    // Some tables name themselves too.
    let own = family && random.chance(35);
    let parents = match (family, at) {
        (false, _) => Vec::new(),
        (true, 0) => [(1, 0)].into_iter().filter(|_| own).collect(),
        (true, 1) => [(1, 0)].into_iter().chain([(2, 1)].into_iter().filter(|_| own)).collect(),
        (true, _) => vec![(1, at - 1), (2, if own { at } else { 0 })],
    };
    Table { rule, deletes, parents }
}

fn faults(random: &mut Random, length: u64) -> Vec<Fault> {
    let count = if random.chance(15) { 0 } else { 1 + random.below(10) };
    let fault = |random: &mut Random| Fault {
        call: random.below(length * 3 + 30),
        when: if random.chance(50) { When::Before } else { When::After },
        how: match random.below(10) {
            0..4 => How::Fail,
            4..7 => How::Crash,
            7 | 8 => How::Delay(1 + random.below(700)),
            _ => How::Delay(FROZEN_MS),
        },
    };
    (0..count).map(|_| fault(random)).collect()
}

/// Makes the steps.
struct Maker {
    random: Random,
    tables: Vec<Table>,
    partitions: u64,
    /// Whether the application writes too: not where rows have parents, which it would have to respect.
    local: bool,
    commits: [u64; 2],
    /// What the commit times of each source come of: goes on where its commits begin anew.
    clocks: [u64; 2],
    /// The epochs that the sources put into their envelopes.
    epochs: [i32; 2],
    /// Whether a source is still to be restored to an older state of itself.
    restores: bool,
    /// Messages that come next, whatever else may.
    next: Vec<(u32, Message)>,
    mark: i64,
    published: Vec<(u32, Message)>,
}

impl Maker {
    fn new(mut random: Random, tables: Vec<Table>, partitions: u64, no_family: bool) -> Maker {
        let local = no_family && random.chance(50);
        let restores = random.chance(25);
        Maker {
            random,
            tables,
            partitions,
            local,
            commits: [0; 2],
            clocks: [0; 2],
            epochs: [0; 2],
            restores,
            next: Vec::new(),
            mark: 0,
            published: Vec::new(),
        }
    }

    fn step(&mut self) -> Step {
        let pause_ms = match self.random.below(10) {
            0..6 => 0,
            6..9 => self.random.below(60),
            _ => self.random.below(5_000),
        };
        let event = match self.random.below(40) {
            0 => Event::Trim,
            1 | 2 if self.local => self.locally(),
            3..7 if !self.published.is_empty() => {
                let (partition, message) = self.random.pick(&self.published);
                Event::Publish { partition, message }
            }
            _ => {
                if self.restores && self.random.chance(8) {
                    self.restore();
                }
                if let Some((partition, message)) = self.next.pop() {
                    Event::Publish { partition, message }
                } else {
                    let (partition, message) = self.message();
                    self.published.push((partition, message.clone()));
                    Event::Publish { partition, message }
                }
            }
        };
        Step { pause_ms, event }
    }

    fn locally(&mut self) -> Event {
        let table = usize::try_from(self.random.below(self.tables.len() as u64)).unwrap();
        let key = self.random.cell(6);
        let row = self.row(key);
        Event::Local { table, row }
    }

    /// A source goes on from an older state of itself. It says so in each envelope from then on, or by a message to
    /// each partition; then what it published before cannot be told from what it publishes now, and does not come again.
    fn restore(&mut self) {
        self.restores = false;
        let source = usize::try_from(self.random.below(2)).unwrap();
        self.commits[source] = self.random.below(self.commits[source] + 1);
        if self.random.chance(50) {
            self.epochs[source] = 1;
            return;
        }
        let name = SOURCES[source];
        let of_others = |message: &Message| !matches!(message, Message::Changes(c) if c[0].source == name);
        self.published.retain(|(_, message)| of_others(message));
        let partitions = u32::try_from(self.partitions).unwrap();
        self.next.extend((0..partitions).map(|partition| (partition, Message::Epoch(name.into(), 1))));
    }

    fn message(&mut self) -> (u32, Message) {
        let any = u32::try_from(self.random.below(self.partitions)).unwrap();
        match self.random.below(40) {
            0 => (any, Message::Refused(None)),
            1 => (any, Message::Settled(self.random.pick(&[Fate::Control, Fate::Unlisted, Fate::Echo]))),
            2 => {
                let table = usize::try_from(self.random.below(self.tables.len() as u64)).unwrap();
                let key = self.random.cell(6);
                (self.partition(key), Message::Refused(Some((table, key))))
            }
            _ => self.changes(),
        }
    }

    fn partition(&self, key: i64) -> u32 {
        u32::try_from(key.unsigned_abs() % self.partitions).unwrap()
    }

    fn changes(&mut self) -> (u32, Message) {
        let table = usize::try_from(self.random.below(self.tables.len() as u64)).unwrap();
        let key = self.random.cell(6);
        let source = usize::try_from(self.random.below(2)).unwrap();
        let later = 1 + self.random.below(2);
        self.commits[source] += later;
        self.clocks[source] += later;
        let commit = self.commits[source];
        let op = match self.random.below(10) {
            0..7 => Op::Write,
            7 | 8 => Op::Delete,
            _ => Op::Snapshot,
        };
        let mut change = Change {
            table,
            key,
            op,
            source: SOURCES[source].into(),
            position: (self.epochs[source], commit, self.random.below(3)),
            // Never falling at one source, and often the same at both.
            at: 1_000_000 + i64::try_from(self.clocks[source] / 4).unwrap() * 10,
            after: Vec::new(),
            before: None,
            moved_from: None,
            let_go: None,
        };
        if op == Op::Delete {
            change.before = Some(self.row(key)).filter(|_| self.tables[table].deletes == Deletes::Ordered);
            return (self.partition(key), Message::Changes(vec![change]));
        }
        self.fill(&mut change);
        if op == Op::Write && self.random.chance(12) {
            return (self.partition(key), Message::Changes(self.moved(change)));
        }
        if op == Op::Write && self.random.chance(30) {
            change.before = Some(self.row(key));
        }
        (self.partition(key), Message::Changes(vec![change]))
    }

    fn fill(&mut self, change: &mut Change) {
        let row = self.row(change.key);
        change.let_go = match row[KIND] {
            Some(FILTERED) => Some(Fate::Filtered),
            Some(SUPPRESSED) => Some(Fate::Suppressed),
            _ => None,
        };
        change.after = row.into_iter().map(Cell::Sent).collect();
        if self.random.chance(25) {
            change.after[BIG] = Cell::Unavailable;
        }
    }

    /// Both halves of a change that gives a row another key, of the same partition.
    fn moved(&mut self, create: Change) -> Vec<Change> {
        let old = (create.key + i64::try_from(self.partitions).unwrap()) % 6;
        let delete = Change {
            key: old,
            op: Op::Delete,
            after: Vec::new(),
            before: Some(self.row(old)),
            let_go: None,
            ..create.clone()
        };
        vec![delete, Change { moved_from: Some(old), ..create }]
    }

    fn row(&mut self, key: i64) -> Row {
        self.mark += 1;
        let random = &mut self.random;
        let named = |random: &mut Random| random.chance(75).then(|| random.cell(6));
        let kind = match random.below(14) {
            0 => FILTERED,
            1 => SUPPRESSED,
            _ => 0,
        };
        vec![
            Some(key),
            named(random),
            named(random),
            random.chance(90).then(|| random.cell(5)),
            Some(self.mark),
            Some(self.mark * 100),
            Some(kind),
        ]
    }
}
