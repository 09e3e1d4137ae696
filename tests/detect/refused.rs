//! What stops the program before anything is read.

use std::fs;

use super::{Home, RULE, stderr};

/// Both commands refuse it, with these texts in what they say.
#[track_caller]
fn check(home: &Home, expected: &[&str]) {
    for command in ["check", "run"] {
        let output = home.command(command).output().unwrap();
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{command}: {error}");
        let words = error.split_whitespace().collect::<Vec<_>>().join(" ");
        expected.iter().for_each(|part| assert!(words.contains(part), "{command}: {part} is not in {words}"));
    }
    assert!(!home.path("events.jsonl").exists());
}

#[test]
fn a_broken_rule_is_shown_with_its_place() {
    let home = Home::new("");
    let path = home.path("rules/broken.toml");
    fs::write(&path, RULE.replace("acme.storm", "acme.broken").replace("view.operation", "view.opration")).unwrap();
    check(&home, &[&format!("{}:5:14:", path.display()), "did you mean `operation`?"]);
    fs::write(&path, "id = 'acme.broken'\nname = ").unwrap();
    check(&home, &[&format!("{}:2:", path.display())]);
    fs::remove_file(&path).unwrap();
    fs::write(home.path("rules/twice.toml"), RULE).unwrap();
    let first = home.path("rules/storm.toml").display().to_string();
    check(&home, &["twice.toml: the id `acme.storm` is that of a rule of", &first]);
}

#[test]
fn rules_that_are_not_there_are_refused() {
    for (sections, expected) in [
        ("rules = ['tap.guardrail-intervned']\n", "did you mean `tap.guardrail-intervened`?"),
        ("rules = ['severity:hihg']\n", "did you mean `severity:high`?"),
        ("[alerts.a.stdout]\nrules = ['acme.strom']\n", "did you mean `acme.storm`?"),
        ("[alerts.a.stdout]\nrules = ['tap.guardrail-intervened']\n", "of those that are on"),
        ("[alerts.a.stdout]\nsevrity = 'high'\n", "did you mean `severity`?"),
        ("[alerts.a.stdout]\nformat = 'slack'\n", "make it `[alerts.NAME.http]`"),
        (
            "[alerts.a.file]\npath = 'a'\nformat = 'pagerduty'\nrouting_key.env = 'KEY'\n",
            "is a message of an HTTP endpoint",
        ),
        ("[alerts.a.http]\nurl = 'http://h'\nformat = 'pagerduty'\n", "`alerts.a.http.routing_key`: missing"),
        ("[alerts.a.http]\nurl = 'http://h'\nrouting_key.env = 'KEY'\n", "is of no use unless `format` is `pagerduty`"),
        ("[alerts.a.http]\nurl = 'http://h'\nformat = 'slack'\nbody = 'json_array'\n", "leave `body` out"),
        ("[alerts.a.slack]\nurl = 'http://h'\n", "did you mean `http`?"),
        ("[alerts.events.stdout]\n", "is the name of another sink"),
        ("[alerts.a.file]\npath = 'HOME/events.jsonl'\n", "`sinks.events.file.path` writes to this file already"),
    ] {
        check(&Home::new(sections), &[expected]);
    }
    let home = Home::new("[alerts.a.stdout]\n");
    let config = fs::read_to_string(home.path("config.toml")).unwrap();
    let text: String =
        config.lines().filter(|line| !line.starts_with("files")).map(|line| format!("{line}\n")).collect();
    fs::write(home.path("config.toml"), text).unwrap();
    check(&home, &["no rule is on, so there is no alert to send"]);
}
