//! Vouches that nothing is missing between two deliveries, or says what may be. Pure bookkeeping.
//!
//! The consumer's own sequence has no holes, so a gap in it is a lost delivery. The stream's sequence may have
//! some: other partitions stand there. But a stream that is trimmed or purged under a consumer makes the same holes,
//! and nothing signals it. Two questions to the stream tell: where it begins now, and whether that is beyond the
//! beginning of a hole that was passed. What lies before the stream's first sequence and was passed by may have been
//! ours, and is reported.

use super::arrival::Place;
use crate::source::SourceError;

/// Where a reader stands, and what it has passed by.
#[derive(Debug)]
pub(super) struct Continuity {
    /// Everything of this partition up to here was delivered.
    position: u64,
    consumer_sequence: u64,
    /// Messages that waited behind the last delivery.
    pending: u64,
    /// Whether holes mean anything: only where the stream keeps messages by limits.
    watches: bool,
    /// The greatest first sequence that the stream told of.
    first: u64,
    /// The position before the first hole since the last question to the stream.
    hole: Option<u64>,
    /// The same for the question that is under way, and what was before it.
    hole_asked: Option<u64>,
}

/// What a step means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing speaks against it.
    Sound,
    /// Messages that had waited are gone: ask the stream before anything more is handed on.
    Suspicious,
}

impl Continuity {
    /// A reader that begins after `position` with `pending` messages before it, on a stream whose first sequence
    /// was `first`.
    pub fn new(position: u64, pending: u64, first: u64, watches: bool) -> Continuity {
        Continuity { position, consumer_sequence: 0, pending, watches, first, hole: None, hole_asked: None }
    }

    /// Everything of this partition up to here was delivered.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// A message came.
    pub fn delivered(&mut self, place: &Place) -> Result<Step, SourceError> {
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
        let before = self.pending;
        self.consumer_sequence = place.consumer_sequence;
        self.pending = place.pending;
        let hole = place.stream_sequence > self.position + 1;
        self.step(hole, place.stream_sequence, place.pending + 1 < before)
    }

    /// The consumer says how far it has looked without finding more.
    pub fn heartbeat(&mut self, stream_sequence: u64, consumer_sequence: u64) -> Result<Step, SourceError> {
        if consumer_sequence > self.consumer_sequence {
            return Err(doubt(format!(
                "the consumer gave delivery {consumer_sequence}, and only {} came",
                self.consumer_sequence
            )));
        }
        if consumer_sequence < self.consumer_sequence || stream_sequence <= self.position {
            return Ok(Step::Sound);
        }
        let vanished = self.pending > 0;
        self.pending = 0;
        self.step(true, stream_sequence, vanished)
    }

    fn step(&mut self, hole: bool, to: u64, vanished: bool) -> Result<Step, SourceError> {
        let from = std::mem::replace(&mut self.position, to);
        if !hole || !self.watches {
            return Ok(Step::Sound);
        }
        if from + 1 < self.first {
            return Err(SourceError::Trimmed { wanted: from + 1, first: self.first });
        }
        self.hole.get_or_insert(from);
        Ok(if vanished { Step::Suspicious } else { Step::Sound })
    }

    /// A question to the stream is on its way.
    pub fn asked(&mut self) {
        // Holes only get later: what was there before stands.
        self.hole_asked = self.hole_asked.or(self.hole.take());
    }

    /// The stream answered: it begins at `first`.
    pub fn answered(&mut self, first: u64) -> Result<(), SourceError> {
        self.first = self.first.max(first);
        let hole = self.hole_asked.take();
        match hole.or(self.hole).filter(|from| self.watches && from + 1 < first) {
            Some(from) => Err(SourceError::Trimmed { wanted: from + 1, first }),
            None => Ok(()),
        }
    }
}

fn doubt(words: String) -> SourceError {
    SourceError::Doubt(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(stream_sequence: u64, consumer_sequence: u64, pending: u64) -> Place {
        Place { times: 1, stream_sequence, consumer_sequence, at: 0, pending }
    }

    fn trimmed(result: Result<impl std::fmt::Debug, SourceError>) -> (u64, u64) {
        match result {
            Err(SourceError::Trimmed { wanted, first }) => (wanted, first),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lost_repeated_or_turned_delivery_is_a_doubt() {
        for (next, word) in [
            (place(12, 3, 0), "after delivery 1"),
            (place(12, 1, 0), "after delivery 1"),
            (place(10, 2, 0), "came after sequence 10"),
            (Place { times: 2, ..place(11, 2, 0) }, "again"),
        ] {
            let mut sound = Continuity::new(9, 5, 1, true);
            sound.delivered(&place(10, 1, 4)).unwrap();
            let error = sound.delivered(&next).unwrap_err();
            assert!(matches!(&error, SourceError::Doubt(words) if words.contains(word)), "{error}");
        }
        let mut sound = Continuity::new(9, 5, 1, true);
        assert!(matches!(sound.heartbeat(20, 1), Err(SourceError::Doubt(_))));
    }

    #[test]
    fn holes_of_other_partitions_are_sound() {
        let mut sound = Continuity::new(0, 2, 1, true);
        assert_eq!(sound.delivered(&place(5, 1, 1)).unwrap(), Step::Sound);
        sound.asked();
        assert_eq!(sound.delivered(&place(9, 2, 0)).unwrap(), Step::Sound);
        sound.answered(1).unwrap();
        assert_eq!(sound.heartbeat(30, 2).unwrap(), Step::Sound);
        assert_eq!(sound.position(), 30);
        sound.asked();
        sound.answered(6).unwrap();
        assert_eq!(sound.position(), 30);
    }

    #[test]
    fn a_trim_behind_us_is_sound() {
        let mut sound = Continuity::new(0, 9, 1, true);
        for n in 1..=9 {
            sound.delivered(&place(n, n, 9 - n)).unwrap();
        }
        sound.asked();
        sound.answered(9).unwrap();
        sound.delivered(&place(10, 10, 0)).unwrap();
    }

    #[test]
    fn a_hole_before_the_streams_beginning_is_a_trim() {
        // Known before the hole is passed.
        let mut sound = Continuity::new(0, 90, 1, true);
        sound.delivered(&place(1, 1, 89)).unwrap();
        sound.asked();
        sound.answered(50).unwrap();
        assert_eq!(trimmed(sound.delivered(&place(50, 2, 40))), (2, 50));
        // Learnt after it, while messages went on: the question covers what was passed before and since.
        let mut sound = Continuity::new(0, 90, 1, true);
        sound.delivered(&place(1, 1, 89)).unwrap();
        sound.delivered(&place(50, 2, 88)).unwrap();
        sound.asked();
        assert_eq!(trimmed(sound.answered(50)), (2, 50));
        let mut sound = Continuity::new(0, 90, 1, true);
        sound.asked();
        sound.delivered(&place(50, 1, 89)).unwrap();
        assert_eq!(trimmed(sound.answered(50)), (1, 50));
    }

    #[test]
    fn messages_that_waited_and_vanished_are_suspicious() {
        let mut sound = Continuity::new(0, 90, 1, true);
        sound.delivered(&place(1, 1, 89)).unwrap();
        assert_eq!(sound.delivered(&place(50, 2, 40)).unwrap(), Step::Suspicious);
        let mut sound = Continuity::new(0, 90, 1, true);
        sound.delivered(&place(1, 1, 89)).unwrap();
        assert_eq!(sound.heartbeat(90, 1).unwrap(), Step::Suspicious);
        sound.asked();
        assert_eq!(trimmed(sound.answered(91)), (2, 91));
    }

    #[test]
    fn a_stream_that_lets_go_what_was_read_is_not_watched() {
        let mut sound = Continuity::new(0, 90, 1, false);
        assert_eq!(sound.delivered(&place(50, 1, 3)).unwrap(), Step::Sound);
        sound.asked();
        sound.answered(60).unwrap();
        sound.delivered(&place(70, 2, 2)).unwrap();
    }

    #[test]
    fn an_unanswered_question_is_asked_again_about_all() {
        let mut sound = Continuity::new(0, 3, 1, true);
        sound.delivered(&place(5, 1, 2)).unwrap();
        sound.asked();
        sound.delivered(&place(9, 2, 1)).unwrap();
        sound.asked();
        assert_eq!(trimmed(sound.answered(9)), (1, 9));
    }
}
