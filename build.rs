//! The build script: of which commit and by which compiler the program is, for `--version`. It reads files of the checkout
//! and asks the compiler; it needs no git and no network.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names the commit where there is no checkout, such as in a container's build.
const VARIABLE: &str = "BEDROCK_TAP_COMMIT";

/// Digits of a commit that are shown: git's own abbreviation in a repository of this size has fewer.
const DIGITS: usize = 9;

const UNKNOWN: &str = "unknown";

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    // Without any such line, every change of any file would make this run again, and the whole program be built anew.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let commit = match named() {
        Some(commit) => commit,
        None => packaged(&root).or_else(|| checked_out(&root)).unwrap_or_else(|| UNKNOWN.to_owned()),
    };
    println!("cargo::rustc-env={VARIABLE}={}", commit.get(..DIGITS).unwrap_or(&commit));
    println!("cargo::rustc-env=BEDROCK_TAP_TARGET={}", std::env::var("TARGET").unwrap_or_else(|_| UNKNOWN.to_owned()));
    println!("cargo::rustc-env=BEDROCK_TAP_RUSTC={}", compiler());
}

/// The commit that the environment names. What is no commit stops the build: it would be shown as one.
fn named() -> Option<String> {
    let commit = std::env::var(VARIABLE).ok().filter(|commit| !commit.is_empty())?;
    if commit != UNKNOWN && !is_commit(&commit) {
        println!("cargo::error={VARIABLE} is no commit: give 7 to 64 hexadecimal digits, or {UNKNOWN}");
    }
    Some(commit)
}

/// The commit of which cargo has made a package.
fn packaged(root: &Path) -> Option<String> {
    let info = std::fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = info.split_once("\"sha1\"")?;
    rest.split('"').nth(1).filter(|commit| is_commit(commit)).map(str::to_owned)
}

/// The commit that is checked out. Says which files it was read from, so that the next commit is seen.
fn checked_out(root: &Path) -> Option<String> {
    let git = root.join(".git");
    // In a worktree of its own, a file says where the directory is, and that says where all of them share the rest.
    let directory = match std::fs::read_to_string(&git) {
        Ok(text) => root.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let common = match std::fs::read_to_string(directory.join("commondir")) {
        Ok(path) => directory.join(path.trim()),
        Err(_) => directory.clone(),
    };
    let head = read(&directory.join("HEAD"))?;
    let Some(branch) = head.trim().strip_prefix("ref:").map(str::trim) else {
        return Some(head.trim().to_owned()).filter(|commit| is_commit(commit));
    };
    let loose = common.join(branch);
    if let Some(commit) = read(&loose) {
        return Some(commit.trim().to_owned()).filter(|commit| is_commit(commit));
    }
    // The next commit makes the file that is not there yet, and by that changes the nearest directory that is.
    if let Some(directory) = loose.ancestors().skip(1).find(|directory| directory.is_dir()) {
        watch(directory);
    }
    let packed = read(&common.join("packed-refs"))?;
    let line = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == branch);
    line.map(|(commit, _)| commit.to_owned()).filter(|commit| is_commit(commit))
}

/// Reads a file that there is, and is run again when it changes. One that is not there would count as changed always.
fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    watch(path);
    Some(text)
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the compiler says of itself.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_else(|| UNKNOWN.to_owned())
}
