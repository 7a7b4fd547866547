//! The fuzz targets without a fuzzer: the corpus, and some thousands of mutations of it by a fixed seed, through the
//! same functions. What a fuzzer found goes into the corpus, and is then held here for ever.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;

use reconverge_servers::project_root;

/// Mutations of each entry of the corpus.
const MUTATIONS: u64 = 1500;
/// Bytes that mean something in one of the formats.
const TELLING: &[u8] = b"\"{}[]:,\\0123456789-eEntf \xff\xc1\xdc\xdf\x00\x7f\x80";

/// Xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end as u64).max(1)).unwrap()
    }

    /// A few changes: a byte set, a piece cut out, doubled, or put in from elsewhere.
    fn mutated(&mut self, entry: &[u8]) -> Vec<u8> {
        let mut bytes = entry.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(12)).min(bytes.len());
            match self.below(6) {
                _ if bytes.is_empty() => break,
                0 => bytes[at] = TELLING[self.below(TELLING.len())],
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => {
                    let from = self.below(entry.len());
                    let piece = entry[from..(from + 1 + self.below(30)).min(entry.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

fn runs(target: &str, function: fn(&[u8])) {
    let folder = project_root().join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "the corpus of {target} is thin: {files:?}");
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for file in files {
        let entry = fs::read(&file).unwrap();
        function(&entry);
        for number in 0..MUTATIONS {
            let bytes = dice.mutated(&entry);
            let outcome = std::panic::catch_unwind(|| function(&bytes));
            assert!(
                outcome.is_ok(),
                "mutation {number} of {} panics: {:?}",
                file.display(),
                bytes.escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn decode_native() {
    runs("decode_native", fuzz::decode_native);
}

#[test]
fn decode_debezium() {
    runs("decode_debezium", fuzz::decode_debezium);
}

#[test]
fn answer_block() {
    runs("answer_block", fuzz::answer_block);
}
