//! What one call of `next` has gathered, and when it is enough. Pure.

use crate::source::{Delivery, Limits};

/// So many deliveries are no sign of a full call.
const FEW: usize = 64;
/// Most deliveries that room is made for at once.
const MANY: usize = 16_384;

/// Deliveries up to the limits of a call.
#[derive(Debug)]
pub(super) struct Gathered {
    pub deliveries: Vec<Delivery>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    full: bool,
}

impl Gathered {
    /// Nothing yet.
    pub fn new(limits: &Limits) -> Gathered {
        Gathered {
            deliveries: Vec::new(),
            bytes: 0,
            rows_max: limits.rows.max(1),
            bytes_max: limits.bytes,
            full: false,
        }
    }

    /// Takes a delivery, or gives it back where it does not fit. The first one always fits.
    pub fn offer(&mut self, delivery: Delivery) -> Option<Delivery> {
        let bytes = self.bytes.saturating_add(delivery.bytes());
        let fits = self.deliveries.is_empty() || bytes <= self.bytes_max;
        if self.full || !fits {
            self.full = true;
            return Some(delivery);
        }
        if self.deliveries.len() == FEW {
            // Where there are more than a few there are mostly as many as asked for.
            self.deliveries.reserve(self.rows_max.saturating_sub(FEW).min(MANY));
        }
        self.bytes = bytes;
        self.deliveries.push(delivery);
        self.full = self.deliveries.len() >= self.rows_max || self.bytes >= self.bytes_max;
        None
    }

    /// Lets go what came after `sequence`.
    pub fn cut(&mut self, sequence: u64) {
        self.deliveries.retain(|delivery| delivery.sequence <= sequence);
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn delivery(sequence: u64, bytes: usize) -> Delivery {
        Delivery {
            sequence,
            subject: "".into(),
            headers: [("n", "v")].into_iter().collect(),
            payload: Bytes::from(vec![0; bytes]),
            published_at: 0,
        }
    }

    #[test]
    fn a_batch_ends_at_either_limit_and_always_takes_one() {
        // Each message has two bytes of headers.
        for (rows, bytes, offered, taken, given_back) in [
            (2, 1000, vec![10, 10, 10], 2, true),
            (9, 24, vec![10, 10, 10], 2, true),
            (9, 23, vec![10, 10], 1, true),
            (9, 5, vec![100], 1, false),
            (9, 5, vec![100, 1], 1, true),
            (0, 5, vec![1, 1], 1, true),
            (9, 1000, vec![1, 1, 1], 3, false),
        ] {
            let mut gathered =
                Gathered::new(&Limits { rows, bytes, patience: Duration::ZERO, linger: Duration::ZERO });
            let back =
                offered.iter().enumerate().find_map(|(n, bytes)| gathered.offer(delivery(n as u64, *bytes)));
            assert_eq!((gathered.deliveries.len(), back.is_some()), (taken, given_back), "{rows} {bytes}");
            assert!(gathered.is_full() || !given_back);
        }
    }
}
