//! The file sink over real files: crashes at every byte, rotation, and who may write.

use std::fs;
use std::io::Read as _;

use super::*;

fn settings(directory: &Path, gzip: bool) -> Settings {
    Settings { path: directory.join("logs/calls.jsonl"), rotate_bytes: None, rotate_age: None, gzip }
}

fn batch(parts: &[&[&str]]) -> Arc<Batch> {
    let lines = |items: &&[&str]| {
        let mut lines = Lines::default();
        items.iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
        lines
    };
    Arc::new(Batch { parts: parts.iter().map(lines).collect(), range: None })
}

fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8(bytes).unwrap();
    }
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// The files beside the sink's, oldest first, and the sink's.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort_by_key(|file| (file == path, fs::metadata(file).unwrap().modified().unwrap(), file.clone()));
    files
}

/// Cuts the file at every byte, opens it again and delivers the batches that were not acknowledged at that point.
async fn check_crash_at_every_byte(gzip: bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = path_of(&settings(directory.path(), gzip));
    let batches = [batch(&[&["{\"a\":1}"], &["{\"b\":\"\\n\"}", "{}"]]), batch(&[&["{\"c\":3}"]]), batch(&[&["four"]])];
    let sink = FileSink::open(settings(directory.path(), gzip)).unwrap();
    let mut ends = vec![0];
    for batch in &batches {
        sink.deliver(Arc::clone(batch)).await.unwrap();
        ends.push(usize::try_from(fs::metadata(&path).unwrap().len()).unwrap());
    }
    drop(sink);
    let (content, expected) = (fs::read(&path).unwrap(), text(&path));
    for cut in 0..=content.len() {
        fs::write(&path, &content[..cut]).unwrap();
        let acknowledged = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
        let sink = FileSink::open(settings(directory.path(), gzip)).unwrap();
        let kept = text(&path);
        assert!(expected.starts_with(&kept), "{kept:?} after a crash at {cut}");
        for batch in &batches[acknowledged..] {
            sink.deliver(Arc::clone(batch)).await.unwrap();
        }
        let (found, mut lines): (String, Vec<&str>) = (text(&path), expected.lines().collect());
        for line in found.lines() {
            assert!(expected.lines().any(|other| other == line), "the torn line {line:?} after a crash at {cut}");
            lines.retain(|other| *other != line);
        }
        assert_eq!(lines, Vec::<&str>::new(), "lost by a crash at {cut}");
    }
}

#[tokio::test]
async fn a_crash_at_any_byte_loses_and_tears_nothing() {
    check_crash_at_every_byte(false).await;
    check_crash_at_every_byte(true).await;
}

#[tokio::test]
async fn a_file_is_set_aside_before_it_grows_too_large() {
    for gzip in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let limited = Settings { rotate_bytes: Some(10), ..settings(directory.path(), gzip) };
        let sink = FileSink::open(limited.clone()).unwrap();
        let mut expected = String::new();
        for number in 0..5 {
            let line = format!("number {number}");
            sink.deliver(batch(&[&[&line]])).await.unwrap();
            expected += &format!("{line}\n");
        }
        let path = path_of(&limited);
        let files = files(&path);
        assert_eq!(files.len(), 5, "{files:?}");
        assert_eq!(files.iter().map(|file| text(file)).collect::<String>(), expected);
        for file in &files[..4] {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("calls-2") && name.ends_with(if gzip { ".jsonl.gz" } else { ".jsonl" }), "{name}");
        }
    }
}

#[tokio::test]
async fn an_old_file_is_set_aside_though_nothing_comes() {
    let directory = tempfile::tempdir().unwrap();
    let aging = Settings { rotate_age: Some(Duration::from_millis(50)), ..settings(directory.path(), false) };
    let sink = FileSink::open(aging.clone()).unwrap();
    let waits = async {
        while files(&aging.path).len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    sink.deliver(batch(&[&["one"]])).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap();
    sink.deliver(batch(&[&["two"]])).await.unwrap();
    drop(sink);
    let texts: Vec<String> = files(&aging.path).iter().map(|file| text(file)).collect();
    assert_eq!(texts.concat(), "one\ntwo\n");
    assert_eq!(texts[0], "one\n");
}

#[tokio::test]
async fn the_size_counts_lines_before_compression_and_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let limited = Settings { rotate_bytes: Some(5000), ..settings(directory.path(), true) };
    let long = "x".repeat(1999);
    for _ in 0..5 {
        let sink = FileSink::open(limited.clone()).unwrap();
        sink.deliver(batch(&[&[&long]])).await.unwrap();
    }
    let lengths: Vec<usize> = files(&path_of(&limited)).iter().map(|file| text(file).len()).collect();
    assert_eq!(lengths, [4000, 4000, 2000]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_it_and_only_one_process_writes_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::open(settings(directory.path(), false)).unwrap();
    let path = settings(directory.path(), false).path;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = FileSink::open(settings(directory.path(), false)).unwrap_err();
    assert!(error.to_string().contains("another process writes to it"), "{error}");
    drop(sink);
    FileSink::open(settings(directory.path(), false)).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), false);
    let sink = FileSink::open(settings.clone()).unwrap();
    sink.deliver(batch(&[&["one"]])).await.unwrap();
    fs::rename(&settings.path, directory.path().join("moved")).unwrap();
    sink.deliver(batch(&[&["two"]])).await.unwrap();
    fs::remove_dir_all(settings.path.parent().unwrap()).unwrap();
    sink.deliver(batch(&[&["three"]])).await.unwrap();
    assert_eq!(text(&directory.path().join("moved")), "one\n");
    assert_eq!(text(&settings.path), "three\n");
}

#[tokio::test]
async fn a_file_that_is_no_gzip_is_kept_beside_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), true);
    let path = path_of(&settings);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "not gzip\n").unwrap();
    let sink = FileSink::open(settings).unwrap();
    sink.deliver(batch(&[&["one"]])).await.unwrap();
    assert_eq!(files(&path).iter().map(|file| text(file)).collect::<Vec<_>>(), ["not gzip\n", "one\n"]);
}

#[test]
fn what_cannot_be_written_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let check = |path: PathBuf, expected: &str| {
        let settings = Settings { path, rotate_bytes: None, rotate_age: None, gzip: false };
        let error = FileSink::open(settings).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(directory.path().to_path_buf(), "name a file in it");
    if Path::new("/dev/full").exists() {
        check("/dev/full".into(), "choose a path for a regular file");
    }
}
