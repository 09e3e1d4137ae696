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
    check(&home, &[&format!("{}:5:15:", path.display()), "did you mean `operation`?"]);
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

#[cfg(unix)]
#[test]
fn links_and_pipes_are_taken_for_what_they_are() {
    use std::os::unix::fs::symlink;

    // A volume of Kubernetes: the files are links into a hidden directory, which is another one after each change.
    let home = Home::new("");
    fs::create_dir(home.path("rules/..2026")).unwrap();
    fs::rename(home.path("rules/storm.toml"), home.path("rules/..2026/storm.toml")).unwrap();
    symlink("..2026", home.path("rules/..data")).unwrap();
    symlink("..data/storm.toml", home.path("rules/storm.toml")).unwrap();
    // What an editor leaves behind, and a loop.
    symlink("me@here.1", home.path("rules/.#storm.toml")).unwrap();
    symlink(home.path("rules"), home.path("rules/again")).unwrap();
    home.put("a.jsonl", &super::account(1), 0..3);
    let log = home.run();
    assert!(log.contains("findings=3 alerts=1"), "{log}");
    let home = Home::new("");
    symlink("gone.toml", home.path("rules/link.toml")).unwrap();
    check(&home, &["rules/link.toml is a link to nothing"]);
    let home = Home::new("");
    fs::remove_file(home.path("rules/storm.toml")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(home.path("rules/storm.toml")).status().unwrap();
    assert!(pipe.success());
    let config = fs::read_to_string(home.path("config.toml")).unwrap();
    fs::write(home.path("config.toml"), config.replace("/rules\"]", "/rules/storm.toml\"]")).unwrap();
    check(&home, &["storm.toml is neither a file nor a directory"]);
}
