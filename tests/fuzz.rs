//! What the fuzz targets demand, on the seeds of their corpus: it is checked on every run of the tests, with the stable
//! compiler and without a fuzzer.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the file is the root of a library of its own, too")]
mod targets;

/// Calls `target` with every seed of the corpus of that name, and with each seed cut short at a few places.
fn check(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut seeds = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        target(&seed);
        for part in 0..8 {
            target(&seed[..seed.len() * part / 8]);
        }
        seeds += 1;
    }
    assert!(seeds >= 10, "{seeds} seeds in {}", directory.display());
}

#[test]
fn any_record_is_accounted_for() {
    check("decode", targets::decode);
}

#[test]
fn the_cursor_agrees_with_serde_json() {
    check("json", targets::json);
}
