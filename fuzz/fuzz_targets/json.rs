//! The fuzzer's way into [`bedrock_tap_fuzz::json`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedrock_tap_fuzz::json(bytes));
