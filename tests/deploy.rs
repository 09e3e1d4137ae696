//! What is in `deploy/`: policies, templates and pages, each held to the source that it speaks of.
//!
//! With `BEDROCK_TAP_TEST_REWRITE` set, what is written from the table of actions is written anew; look at the difference
//! before you commit it.

mod actions;
mod needs;
mod policies;
mod sizing;
mod templates;

use std::fs;
use std::path::{Path, PathBuf};

/// A path of the repository.
fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// A file of the repository.
#[track_caller]
fn text(below: &str) -> String {
    fs::read_to_string(path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

/// Holds a file to what it has to say, or writes it.
#[track_caller]
fn check_written(below: &str, expected: &str) {
    if std::env::var_os("BEDROCK_TAP_TEST_REWRITE").is_some() {
        return fs::write(path(below), expected).unwrap();
    }
    let found = fs::read_to_string(path(below)).unwrap_or_default();
    assert!(found == expected, "{below} is not what the table says: BEDROCK_TAP_TEST_REWRITE=1 writes it anew");
}

/// A page with other text between two markers.
#[track_caller]
fn with_part(page: &str, marker: &str, part: &str) -> String {
    let (begin, end) = (format!("<!-- {marker} -->\n"), format!("<!-- end of {marker} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no marker {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no marker {end}"));
    format!("{before}{begin}{part}{end}{after}")
}
