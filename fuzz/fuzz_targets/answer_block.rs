//! See [`reconverge_fuzz::answer_block`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reconverge_fuzz::answer_block(bytes));
