//! What the program says of itself: its version, what shells complete, and its manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use bedrock_tap::cli::Cli;
use clap::CommandFactory as _;

use crate::support::tool::tool;

fn program(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap")).args(args).env("COLUMNS", "80").output().unwrap()
}

fn stdout(args: &[&str]) -> String {
    let output = program(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All commands as they are called, the program itself among them: `rules list`.
fn commands() -> Vec<Vec<String>> {
    fn add(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        all.push(path.to_vec());
        for command in command.get_subcommands() {
            add(command, &[path, &[command.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    add(&Cli::command(), &[], &mut all);
    assert!(all.len() > 12 && all.contains(&vec!["rules".to_owned(), "list".to_owned()]), "{all:?}");
    all
}

#[test]
fn the_version_names_the_commit_and_the_features() {
    let short = stdout(&["-V"]);
    let inner = short.strip_prefix(concat!("bedrock-tap ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let (commit, features) = match inner.strip_suffix(")\n").unwrap().split_once(", ") {
        Some((commit, features)) => (commit, features),
        None => (inner.trim_end_matches(")\n"), "none"),
    };
    assert_eq!(features, if cfg!(feature = "demo") { "demo" } else { "none" });
    assert!(commit == "unknown" || commit.len() == 9 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{commit}");
    let long = stdout(&["--version"]);
    let lines: Vec<_> = long.lines().collect();
    assert_eq!(lines[0], short.trim_end());
    assert_eq!(lines[1], format!("features: {features}"));
    assert!(lines[2].starts_with("compiler: rustc 1.") && lines[3].starts_with("target: "), "{long}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn shells_complete_every_command_and_flag() {
    let (commands, command) = (commands(), Cli::command());
    let flags: Vec<_> = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|flag| flag.get_long().map(str::to_owned))
        .collect();
    assert!(flags.len() > 30, "{flags:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        for name in commands.iter().flatten() {
            assert!(script.contains(name.as_str()), "{shell}: {name}");
        }
        for flag in &flags {
            assert!(script.contains(flag.as_str()), "{shell}: --{flag}");
        }
        if ["bash", "zsh", "fish"].contains(&shell)
            && let Some(mut parser) = tool(shell)
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("script");
            fs::write(&path, &script).unwrap();
            let output = parser.arg("-n").arg(&path).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
    assert_eq!(program(&["completions", "tcsh"]).status.code(), Some(64));
}

#[test]
fn bash_offers_what_follows() {
    let Some(mut bash) = tool("bash") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("script");
    fs::write(&path, stdout(&["completions", "bash"])).unwrap();
    let asked = "source \"$1\"; shift; COMP_WORDS=(\"$@\" ''); COMP_CWORD=$#; \
                 _bedrock__tap bedrock-tap '' \"${@: -1}\"; echo \"${COMPREPLY[*]}\"";
    let mut check = |words: &[&str], expected: &[&str]| {
        let output = bash.args(["-c", asked, "bash"]).arg(&path).args(words).output().unwrap();
        let offered = String::from_utf8(output.stdout).unwrap();
        for name in expected {
            assert!(offered.split_whitespace().any(|word| word == *name), "{words:?}: {offered}");
        }
        bash = tool("bash").unwrap();
    };
    check(&["bedrock-tap"], &["run", "completions", "--version"]);
    check(&["bedrock-tap", "run"], &["--config"]);
    check(&["bedrock-tap", "rules"], &["list", "show", "test"]);
    check(&["bedrock-tap", "rules", "list"], &["--output"]);
    check(&["bedrock-tap", "rules", "list", "--output"], &["text", "json"]);
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    stdout(&["man", "--dir", pages.to_str().unwrap()]);
    let written: BTreeSet<_> =
        fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let name = |path: &[String]| [&["bedrock-tap".to_owned()], path].concat().join("-");
    let expected: BTreeSet<_> = commands().iter().map(|path| format!("{}.1", name(path))).collect();
    assert_eq!(written, expected);
    assert_eq!(stdout(&["man"]), fs::read_to_string(pages.join("bedrock-tap.1")).unwrap());
    for path in commands() {
        let page = pages.join(format!("{}.1", name(&path)));
        let Some(mut man) = tool("man") else { return };
        let man = man.args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"]).arg(&page).env("MANWIDTH", "80");
        let output = man.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{path:?}: {output:?}");
        // Bold and underlined letters are struck twice.
        let mut text = String::new();
        for letter in String::from_utf8(output.stdout).unwrap().chars() {
            match letter {
                '\u{8}' => drop(text.pop()),
                letter => text.push(letter),
            }
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\u{2010}', "-");
        let (title, usage) = (format!("{} - ", name(&path)), format!("bedrock-tap {}", path.join(" ")));
        assert!(text.contains(&title) && text.contains(usage.trim_end()), "{text}");
        assert!(!path.is_empty() || text.contains("bedrock-tap-rules(1)"), "{text}");
    }
}

#[test]
fn help_fits_into_eighty_columns() {
    for path in commands() {
        let args: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = stdout(&args);
        let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{path:?}: {wide:?}");
    }
}

#[test]
fn pages_that_cannot_be_written_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let output = program(&["man", "--dir", file.join("below").to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("file/below cannot be made"), "{text}");
}
