//! The account of what was asked of the server and has not come. Pure: the reader sends what this says.
//!
//! Pulls overlap: the next one is asked for when less than one is outstanding, so that the server never waits for a
//! round trip. The server serves outstanding pulls in turn, and its messages do not say which pull they fill; so
//! the account is kept over all of them, and the end of each says what it still wanted.

use std::time::Duration;

use crate::source::Limits;

/// How long the server keeps a pull.
pub(super) const EXPIRES: Duration = Duration::from_secs(30);
/// After how long without a message the server says that it is there, and how far the consumer has looked. A lane with an
/// end waits for that word where the stream's last messages are of other partitions.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(250);

/// A smaller pull would cost a round trip for a few messages.
const ROWS_MIN: usize = 64;
/// Twice this must fit in the client's buffer for a subscription (65,536), else it drops messages.
const ROWS_MAX: usize = 16_384;
/// What a message may have besides payload and headers, as the server counts: its subject and reply subject.
const NAMES_BYTES: usize = 64 * 1024;

/// A pull to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub rows: usize,
    /// 0: without bound.
    pub bytes: usize,
}

impl Pull {
    /// The request's body.
    pub fn body(self) -> String {
        let Pull { rows, bytes } = self;
        let (expires, heartbeat) = (EXPIRES.as_nanos(), HEARTBEAT.as_nanos());
        format!(r#"{{"batch":{rows},"max_bytes":{bytes},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#)
    }
}

/// What is outstanding.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    outstanding: usize,
    /// Pulls that ended for want of room since the last message came.
    barren: u32,
}

impl Pulls {
    /// The pull to send now, if any. `payload_max` is the largest message that the server takes: a pull always has
    /// room for one, since the server ends a pull that has not.
    pub fn wanted(&mut self, limits: &Limits, payload_max: usize) -> Option<Pull> {
        let rows = limits.rows.clamp(ROWS_MIN, ROWS_MAX);
        let pull = if self.barren < 2 {
            Pull { rows, bytes: limits.bytes.max(payload_max.saturating_add(NAMES_BYTES)) }
        } else if self.outstanding == 0 {
            // A message from before the server's limit was lowered fits into no bounded pull.
            Pull { rows: 1, bytes: 0 }
        } else {
            return None;
        };
        if self.outstanding >= pull.rows {
            return None;
        }
        self.outstanding += pull.rows;
        Some(pull)
    }

    /// A message came.
    pub fn delivered(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.barren = 0;
    }

    /// A pull ended that still wanted `left`.
    pub fn ended(&mut self, left: Option<usize>, oversize: bool) {
        // Unknown: as if nothing were outstanding. At worst that asks once too often.
        self.outstanding = left.map_or(0, |left| self.outstanding.saturating_sub(left));
        self.barren += u32::from(oversize);
    }

    /// Whether the server owes us messages or heartbeats.
    pub fn is_outstanding(&self) -> bool {
        self.outstanding > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD_MAX: usize = 1 << 20;

    fn limits(rows: usize, bytes: usize) -> Limits {
        Limits { rows, bytes, patience: Duration::ZERO, linger: Duration::ZERO }
    }

    #[test]
    fn two_pulls_overlap_and_never_more() {
        let mut pulls = Pulls::default();
        let asked = limits(100, 1);
        assert!(!pulls.is_outstanding());
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX).unwrap().rows, 100);
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX), None);
        pulls.delivered();
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX).unwrap().rows, 100);
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX), None);
        (0..199).for_each(|_| pulls.delivered());
        assert!(!pulls.is_outstanding());
    }

    #[test]
    fn a_pull_has_room_for_the_largest_message_and_bounds() {
        for (rows, bytes, pull) in [
            (1, 1, Pull { rows: ROWS_MIN, bytes: PAYLOAD_MAX + NAMES_BYTES }),
            (1000, 8 << 20, Pull { rows: 1000, bytes: 8 << 20 }),
            (usize::MAX, usize::MAX, Pull { rows: ROWS_MAX, bytes: usize::MAX }),
        ] {
            assert_eq!(Pulls::default().wanted(&limits(rows, bytes), PAYLOAD_MAX), Some(pull));
        }
    }

    #[test]
    fn what_a_pull_did_not_bring_is_asked_for_again() {
        let mut pulls = Pulls::default();
        pulls.wanted(&limits(100, 1), PAYLOAD_MAX).unwrap();
        (0..30).for_each(|_| pulls.delivered());
        pulls.ended(Some(70), false);
        assert!(!pulls.is_outstanding());
        pulls.wanted(&limits(100, 1), PAYLOAD_MAX).unwrap();
        pulls.ended(None, false);
        assert!(!pulls.is_outstanding());
    }

    #[test]
    fn a_message_that_fits_into_no_pull_is_asked_for_alone_and_without_bound() {
        let mut pulls = Pulls::default();
        let asked = limits(100, 1);
        for _ in 0..2 {
            let pull = pulls.wanted(&asked, PAYLOAD_MAX).unwrap();
            assert!(pull.bytes > 0);
            pulls.ended(Some(100), true);
        }
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX), Some(Pull { rows: 1, bytes: 0 }));
        assert_eq!(pulls.wanted(&asked, PAYLOAD_MAX), None);
        pulls.delivered();
        assert!(pulls.wanted(&asked, PAYLOAD_MAX).unwrap().bytes > 0);
    }
}
