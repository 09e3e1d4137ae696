//! Programs of the system that a test may ask, where there are any.

use std::process::{Command, Stdio};

/// The program of this name, if it can be run with `--version`. Where `BEDROCK_TAP_TEST_REQUIRE` names it, it must be there.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    if asked.is_ok_and(|output| output.status.success() && says_a_number(&output.stdout)) {
        return Some(Command::new(name));
    }
    let required = std::env::var("BEDROCK_TAP_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|required| required == name), "there is no {name}");
    eprintln!("skipped: there is no {name}");
    None
}

/// Where a distribution has left its manual pages out, what is called `man` says so, and is none.
fn says_a_number(version: &[u8]) -> bool {
    version.split(|byte| *byte == b'\n').next().is_some_and(|line| line.iter().any(u8::is_ascii_digit))
}
