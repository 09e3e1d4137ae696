//! The fuzzer's way into [`bedrock_tap_fuzz::decode`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedrock_tap_fuzz::decode(bytes));
