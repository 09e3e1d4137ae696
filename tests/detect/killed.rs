//! A process that is killed again and again: in the end every alert was told, of all that happened and of nothing else.

use std::process::Stdio;
use std::time::Duration;

use super::{Home, account, told};

const ACCOUNTS: usize = 8;
const FILES: usize = 120;
/// Calls of one account in a file.
const CALLS: usize = 10;
const KILLS: u64 = 20;

#[test]
fn killed_at_any_moment_every_alert_is_told_with_the_right_count() {
    let home = Home::new("update_every = '1s'\n[alerts.history.file]\npath = 'HOME/alerts.jsonl'\n");
    for file in 0..FILES {
        let (account, round) = (account(file % ACCOUNTS), file / ACCOUNTS);
        home.put(&format!("{file:03}.jsonl"), &account, round * CALLS..(round + 1) * CALLS);
    }
    let mut killed = 0;
    for round in 0..KILLS {
        let mut child = home.command("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The first lives end while everything is opened, later ones in the middle of the work.
        std::thread::sleep(Duration::from_millis(round * 37 % 290 + 20));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
    }
    assert!(killed > 2, "it was hardly ever killed: {killed} times");
    home.run();
    let truth = (FILES / ACCOUNTS * CALLS) as u64;
    let told = told(&home.lines("alerts.jsonl"));
    assert_eq!(told.len(), ACCOUNTS);
    for (account, ids) in told {
        assert_eq!(ids.len(), 1, "{account} has several alerts: {ids:?}");
        for counts in ids.values() {
            assert!(counts.iter().all(|count| *count <= truth), "{account}: more than happened: {counts:?}");
            assert_eq!(counts.last(), Some(&truth), "{account}: {counts:?}");
        }
    }
}
