//! See [`reconverge_fuzz::decode_native`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reconverge_fuzz::decode_native(bytes));
