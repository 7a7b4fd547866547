//! Vouches that nothing is missing between two deliveries, or says what may be. Pure bookkeeping.
//!
//! The consumer's own sequence has no holes, so a gap in it is a lost delivery. The stream's sequence may have
//! some: other partitions stand there. But a stream that is trimmed or purged under a consumer makes the same holes,
//! and nothing signals it: the count of messages that wait does not, since what is published meanwhile fills it up
//! again. So nothing from behind a hole is handed on before the stream has said, after it was passed, that it still
//! begins at or before the hole. What lies before the stream's first sequence and was passed by may have been ours,
//! and is reported.

use super::arrival::Place;
use crate::source::SourceError;

/// Where a reader stands, and what it has passed by.
#[derive(Debug)]
pub(super) struct Continuity {
    /// Everything of this partition up to here was delivered.
    position: u64,
    consumer_sequence: u64,
    /// Whether holes mean anything: only where the stream keeps messages by limits.
    watches: bool,
    /// The greatest first sequence that the stream told of.
    first: u64,
    /// The position before the first hole that nobody has vouched for.
    hole: Option<u64>,
}

impl Continuity {
    /// A reader that begins after `from`, on a stream whose first sequence was `first`, and was told that nothing of
    /// its own lies up to `position`.
    pub fn new(from: u64, position: u64, first: u64, watches: bool) -> Continuity {
        let hole = (watches && position > from).then_some(from);
        Continuity { position, consumer_sequence: 0, watches, first, hole }
    }

    /// Everything of this partition up to here was delivered.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The position before the first hole that nobody has vouched for: what came after it is not to be handed on.
    pub fn hole(&self) -> Option<u64> {
        self.hole
    }

    /// A message came.
    pub fn delivered(&mut self, place: &Place) -> Result<(), SourceError> {
        if place.times > 1 {
            return Err(doubt(format!("sequence {} was delivered again", place.stream_sequence)));
        }
        if place.consumer_sequence != self.consumer_sequence + 1 {
            return Err(doubt(format!(
                "delivery {} of the consumer came after delivery {}",
                place.consumer_sequence, self.consumer_sequence
            )));
        }
        if place.stream_sequence <= self.position {
            return Err(doubt(format!(
                "sequence {} came after sequence {}",
                place.stream_sequence, self.position
            )));
        }
        self.consumer_sequence = place.consumer_sequence;
        let hole = place.stream_sequence > self.position + 1;
        self.step(hole, place.stream_sequence)
    }

    /// The consumer says how far it has looked without finding more.
    pub fn heartbeat(&mut self, stream_sequence: u64, consumer_sequence: u64) -> Result<(), SourceError> {
        if consumer_sequence > self.consumer_sequence {
            return Err(doubt(format!(
                "the consumer gave delivery {consumer_sequence}, and only {} came",
                self.consumer_sequence
            )));
        }
        if consumer_sequence < self.consumer_sequence || stream_sequence <= self.position {
            return Ok(());
        }
        self.step(true, stream_sequence)
    }

    fn step(&mut self, hole: bool, to: u64) -> Result<(), SourceError> {
        let from = std::mem::replace(&mut self.position, to);
        if hole && self.watches {
            self.hole.get_or_insert(from);
            if from + 1 < self.first {
                return Err(SourceError::Trimmed { wanted: from + 1, first: self.first });
            }
        }
        Ok(())
    }

    /// The stream began at `first` when it was asked, whenever that was.
    pub fn learnt(&mut self, first: u64) {
        self.first = self.first.max(first);
    }

    /// The stream begins at `first`, and was asked after the last step.
    pub fn vouched(&mut self, first: u64) -> Result<(), SourceError> {
        self.learnt(first);
        match self.hole.filter(|from| from + 1 < first) {
            Some(from) => Err(SourceError::Trimmed { wanted: from + 1, first }),
            None => {
                self.hole = None;
                Ok(())
            }
        }
    }
}

fn doubt(words: String) -> SourceError {
    SourceError::Doubt(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(stream_sequence: u64, consumer_sequence: u64) -> Place {
        Place { times: 1, stream_sequence, consumer_sequence, at: 0 }
    }

    fn trimmed(result: Result<(), SourceError>) -> (u64, u64) {
        match result {
            Err(SourceError::Trimmed { wanted, first }) => (wanted, first),
            other => panic!("{other:?}"),
        }
    }

    /// A reader from the beginning of a stream, of which the first message came.
    fn begun() -> Continuity {
        let mut sound = Continuity::new(0, 0, 1, true);
        sound.delivered(&place(1, 1)).unwrap();
        sound
    }

    #[test]
    fn a_lost_repeated_or_turned_delivery_is_a_doubt() {
        for (next, word) in [
            (place(12, 3), "after delivery 1"),
            (place(12, 1), "after delivery 1"),
            (place(10, 2), "came after sequence 10"),
            (Place { times: 2, ..place(11, 2) }, "again"),
        ] {
            let mut sound = Continuity::new(9, 9, 1, true);
            sound.delivered(&place(10, 1)).unwrap();
            let error = sound.delivered(&next).unwrap_err();
            assert!(matches!(&error, SourceError::Doubt(words) if words.contains(word)), "{error}");
        }
        let mut sound = Continuity::new(9, 9, 1, true);
        assert!(matches!(sound.heartbeat(20, 1), Err(SourceError::Doubt(_))));
    }

    #[test]
    fn a_hole_of_another_partition_is_vouched_for_by_the_stream() {
        let mut sound = Continuity::new(0, 0, 1, true);
        sound.delivered(&place(5, 1)).unwrap();
        assert_eq!(sound.hole(), Some(0));
        sound.delivered(&place(9, 2)).unwrap();
        assert_eq!(sound.hole(), Some(0), "the first one stands for those behind it");
        sound.vouched(1).unwrap();
        assert_eq!(sound.hole(), None);
        sound.heartbeat(30, 2).unwrap();
        assert_eq!((sound.position(), sound.hole()), (30, Some(9)));
        sound.vouched(10).unwrap();
        assert_eq!(sound.hole(), None);
    }

    #[test]
    fn without_a_hole_nobody_has_to_vouch() {
        let mut sound = begun();
        for n in 2..=9 {
            sound.delivered(&place(n, n)).unwrap();
        }
        sound.heartbeat(9, 9).unwrap();
        assert_eq!(sound.hole(), None);
        // The stream is trimmed behind us.
        sound.learnt(9);
        sound.delivered(&place(10, 10)).unwrap();
        assert_eq!(sound.hole(), None);
    }

    #[test]
    fn a_hole_before_the_streams_beginning_is_a_trim() {
        // Known before the hole is passed.
        let mut sound = begun();
        sound.learnt(50);
        assert_eq!(trimmed(sound.delivered(&place(50, 2))), (2, 50));
        assert_eq!(sound.hole(), Some(1), "what came before it is certain");
        // Learnt after it.
        let mut sound = begun();
        sound.delivered(&place(50, 2)).unwrap();
        assert_eq!(trimmed(sound.vouched(50)), (2, 50));
        let mut sound = begun();
        sound.heartbeat(90, 1).unwrap();
        assert_eq!(trimmed(sound.vouched(91)), (2, 91));
    }

    #[test]
    fn an_answer_to_an_earlier_question_vouches_for_nothing() {
        let mut sound = begun();
        sound.delivered(&place(50, 2)).unwrap();
        sound.learnt(1);
        assert_eq!(sound.hole(), Some(1));
    }

    #[test]
    fn that_nothing_waits_is_vouched_for_too() {
        let mut sound = Continuity::new(3, 90, 1, true);
        assert_eq!(sound.hole(), Some(3));
        assert_eq!(trimmed(sound.vouched(91)), (4, 91));
    }

    #[test]
    fn a_stream_that_lets_go_what_was_read_is_not_watched() {
        let mut sound = Continuity::new(0, 7, 1, false);
        sound.delivered(&place(50, 1)).unwrap();
        sound.learnt(60);
        sound.delivered(&place(70, 2)).unwrap();
        assert_eq!(sound.hole(), None);
    }
}
