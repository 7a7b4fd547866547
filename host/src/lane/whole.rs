//! Where a batch may end: not inside a source transaction, unless that alone exceeds the limits of a batch, or its
//! source stays silent in the middle of it. Both are counted and said.

use std::{sync::Arc, time::Duration};

use reconverge_streams::source::Delivery;
use tokio::time::Instant;

use crate::decode::Mark;

/// How long the rest of a transaction is waited for, where the source is known to mark the ends of its transactions.
/// Of other sources it is taken for whole when nothing more comes within a pull's patience.
const REST_COMES_WITHIN: Duration = Duration::from_secs(10);

/// Reads a message's mark.
pub(super) type Marks<'a> = &'a (dyn Fn(&Delivery) -> Option<Mark> + Sync);

/// What a lane knows of its sources' transactions.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Whether any message bore a transaction: otherwise only the last one of each pull is looked at.
    borne: bool,
    /// Whether any transaction's end was marked.
    ends_are_marked: bool,
    /// When the last message came, while part of a transaction is held back.
    held_since: Option<Instant>,
    /// The transaction that was cut last, so that it is counted once.
    cut: Option<Arc<str>>,
}

impl Transactions {
    pub(super) fn new() -> Self {
        Transactions { borne: true, ends_are_marked: false, held_since: None, cut: None }
    }

    /// How many of the deliveries make up whole transactions. With `room` left in a batch the rest may be none of
    /// them; without, what cannot be whole is let go.
    pub(super) fn whole(&mut self, deliveries: &[Delivery], room: bool, marks: Marks<'_>) -> usize {
        let Some(last) = deliveries.last() else { return 0 };
        self.held_since = None;
        if !self.borne && marks(last).is_none_or(|mark| mark.transaction.is_none()) {
            return deliveries.len();
        }
        let marks: Vec<Option<Mark>> = deliveries.iter().map(marks).collect();
        self.borne = marks.iter().flatten().any(|mark| mark.transaction.is_some());
        self.ends_are_marked |= marks.iter().flatten().any(|mark| mark.end);
        let whole = last_end(&marks);
        if whole == 0 && !room {
            let id = marks.iter().flatten().find_map(|mark| mark.transaction.clone());
            self.cut(id, deliveries.len(), "limits");
            return deliveries.len();
        }
        if whole < deliveries.len() {
            self.held_since = Some(Instant::now());
        }
        whole
    }

    /// Whether the rest of what is held back is still waited for, although a pull brought nothing.
    pub(super) fn waits(&self) -> bool {
        self.ends_are_marked && self.held_since.is_some_and(|since| since.elapsed() < REST_COMES_WITHIN)
    }

    /// Nothing is held back, whatever comes.
    pub(super) fn wait_no_more(&mut self) {
        self.held_since = None;
    }

    /// What was held back goes on without its rest.
    pub(super) fn let_go(&mut self, deliveries: &[Delivery], marks: Marks<'_>) {
        if self.held_since.take().is_some() && self.ends_are_marked {
            let id = deliveries.iter().filter_map(marks).find_map(|mark| mark.transaction);
            self.cut(id, deliveries.len(), "silence");
        }
    }

    fn cut(&mut self, id: Option<Arc<str>>, rows: usize, why: &'static str) {
        if self.cut == id {
            return;
        }
        tracing::warn!(transaction = id.as_deref().unwrap_or_default(), rows, why, "transaction.cut");
        metrics::counter!("reconverge_transactions_cut_total", "why" => why).increment(1);
        self.cut = id;
    }
}

/// A transaction of which not all may have come.
struct Open {
    source: Option<Arc<str>>,
    id: Arc<str>,
    first: usize,
    last: usize,
}

/// The greatest number of leading messages of which no transaction reaches beyond. The transactions of one source
/// follow each other; those of several sources may lie across.
fn last_end(marks: &[Option<Mark>]) -> usize {
    let mut open: Vec<Open> = Vec::new();
    let mut closed = Vec::new();
    for (at, mark) in marks.iter().enumerate() {
        let Some(mark) = mark else { continue };
        let ends_by_id = mark.source.is_none() && mark.end;
        let same = |o: &Open| {
            if ends_by_id { Some(&o.id) == mark.transaction.as_ref() } else { o.source == mark.source }
        };
        let found = open.iter().position(same);
        let goes_on = found.is_some_and(|o| Some(&open[o].id) == mark.transaction.as_ref());
        match (found, &mark.transaction) {
            (Some(o), _) if goes_on => {
                open[o].last = at;
                if mark.end {
                    let whole = open.swap_remove(o);
                    closed.push((whole.first, whole.last));
                }
            }
            (found, transaction) => {
                // A marker without a source says nothing about any but its own transaction.
                if let Some(o) = found.filter(|_| mark.source.is_some()) {
                    let whole = open.swap_remove(o);
                    closed.push((whole.first, whole.last));
                }
                if let Some(id) = transaction.as_ref().filter(|_| !mark.end) {
                    open.push(Open { source: mark.source.clone(), id: Arc::clone(id), first: at, last: at });
                }
            }
        }
    }
    let mut end = open.iter().map(|o| o.first).min().unwrap_or(marks.len());
    while let Some((first, _)) = closed.iter().find(|(first, last)| *first < end && *last >= end) {
        end = *first;
    }
    end
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use reconverge_streams::headers::Headers;

    use super::*;

    /// `e1` is of transaction 1 of source e, `e1.` its end, `e` of none; `.1` is Debezium's end of transaction 1.
    fn mark(word: &str) -> Option<Mark> {
        let end = word.ends_with('.') || word.starts_with('.');
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        let source: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        let some = |text: String| Some(Arc::<str>::from(text)).filter(|t| !t.is_empty());
        Some(Mark { source: some(source), transaction: some(digits), end })
    }

    #[test]
    fn no_transaction_is_parted() {
        for (words, whole) in [
            ("e e e", 3),
            ("e1 e1 e2", 2),
            ("e1 e1 e", 3),
            ("e1 e1", 0),
            ("e1 e1.", 2),
            ("e1 e1. e2 e2", 2),
            // Another source's transaction lies across, and that of a third across it.
            ("e1 w1 e1. w1", 0),
            ("e e1 w1 e1. w1", 1),
            ("e1 w1 w2 e1 w2. e2", 5),
            ("w1 e w1", 0),
            ("e1 e1 .1", 3),
            ("e1 e1 .7", 0),
        ] {
            let marks: Vec<_> = words.split(' ').map(mark).collect();
            assert_eq!(last_end(&marks), whole, "{words}");
        }
        assert_eq!(last_end(&[mark("e1"), None, mark("e2")]), 2, "what does not read ends nothing");
    }

    fn deliveries(words: &str) -> Vec<Delivery> {
        let of = |(n, word): (u64, &str)| Delivery {
            sequence: n,
            subject: word.into(),
            headers: Headers::default(),
            payload: Bytes::new(),
            published_at: 0,
        };
        (1..).zip(words.split(' ')).map(of).collect()
    }

    #[test]
    fn one_that_exceeds_a_batch_is_let_go() {
        let marks = |d: &Delivery| mark(&d.subject);
        let mut transactions = Transactions::new();
        assert_eq!(transactions.whole(&deliveries("e1 e1 e1"), true, &marks), 0);
        assert_eq!(transactions.whole(&deliveries("e1 e1 e1"), false, &marks), 3);
        assert_eq!(transactions.cut.as_deref(), Some("1"));
        assert_eq!(transactions.whole(&deliveries("e e1 e1"), false, &marks), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_waited_for_where_ends_are_marked() {
        let marks = |d: &Delivery| mark(&d.subject);
        let mut transactions = Transactions::new();
        transactions.whole(&deliveries("e1 e1"), true, &marks);
        assert!(!transactions.waits(), "no end was ever marked");
        transactions.whole(&deliveries("e1 e1. e2"), true, &marks);
        assert!(transactions.waits());
        tokio::time::advance(REST_COMES_WITHIN).await;
        assert!(!transactions.waits());
    }
}
