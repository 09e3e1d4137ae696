//! Files as a source: what was read before a position is not read again, and nothing after it is lost.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::Position;
use bedrock_tap::source::file::FileSource;
use bedrock_tap::source::file::inputs::Input;
use bedrock_tap::source::{Read, Source as _, SourceError};
use flate2::Compression;
use flate2::write::GzEncoder;

const MAX_BYTES: usize = 64 << 20;

/// What a file gives from a position on: its content, and the position after each read.
async fn read(path: &Path, from: Option<Position>) -> Result<(Vec<u8>, Vec<Position>), SourceError> {
    let budget = Budget::new(16 << 20);
    let mut source = FileSource::new(Input::Path(path.to_path_buf()), from, MAX_BYTES, budget.clone());
    let (mut content, mut positions) = (Vec::new(), Vec::new());
    loop {
        match source.next().await? {
            Read::End { .. } => return Ok((content, positions)),
            Read::Records { records, position, reservation, .. } => {
                let bytes: usize = records.iter().map(|record| record.data.len()).sum();
                assert!(reservation.bytes() >= bytes.min(budget.total_bytes()), "bytes that the budget does not know");
                records.iter().for_each(|record| content.extend_from_slice(&record.data));
                positions.push(position);
            }
        }
    }
}

/// Lines that do not compress, so that the file stays large.
fn lines(bytes: usize) -> Vec<u8> {
    let (mut text, mut state) = (Vec::new(), 1u64);
    while text.len() < bytes {
        text.push(b'{');
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(format!("{:x}", state >> 16).as_bytes());
        }
        text.extend_from_slice(b"}\n");
    }
    text
}

async fn check_resume(path: &Path, content: &[u8], least_reads: usize) {
    let (whole, positions) = read(path, None).await.unwrap();
    assert!(whole == content, "{} has other content", path.display());
    assert!(positions.len() >= least_reads, "{positions:?}");
    for position in positions {
        let Position::Offset(offset) = position else { panic!("{position:?} is no offset") };
        let (rest, _) = read(path, Some(position)).await.unwrap();
        assert!(rest == content[usize::try_from(offset).unwrap()..], "other content from {offset} on");
    }
}

#[tokio::test]
async fn reading_goes_on_at_any_position() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls");
    let text = lines(13 << 20);
    fs::write(&path, &text).unwrap();
    check_resume(&path, &text, 3).await;

    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let members: Vec<u8> = text.chunks(1 << 20).flat_map(gzip).collect();
    fs::write(&path, &members).unwrap();
    check_resume(&path, &text, 3).await;
}

#[tokio::test]
async fn a_small_file_is_one_record_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls");
    fs::write(&path, b"\x1f\x8b\x08 any bytes").unwrap();
    let (content, positions) = read(&path, None).await.unwrap();
    assert_eq!(content, b"\x1f\x8b\x08 any bytes");
    assert_eq!(positions, [Position::Offset(13)]);
    assert!(read(&path, Some(Position::Offset(13))).await.unwrap().0.is_empty());
    fs::write(&path, b"").unwrap();
    assert!(read(&path, None).await.unwrap().1.is_empty());
}

#[tokio::test]
async fn what_was_appended_since_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls");
    fs::write(&path, "{1}\n{2}\n").unwrap();
    let (content, _) = read(&path, Some(Position::Offset(4))).await.unwrap();
    assert_eq!(content, b"{2}\n");
}

#[tokio::test]
async fn a_file_that_is_gone_or_shorter_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls");
    let error = read(&path, None).await.unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    fs::write(&path, "{1}\n").unwrap();
    let error = read(&path, Some(Position::Offset(5))).await.unwrap_err();
    assert!(matches!(error, SourceError::Position { .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_read_as_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut source = FileSource::new(Input::Path(path.clone()), None, MAX_BYTES, Budget::new(1 << 20));
    let (go_on, told) = std::sync::mpsc::sync_channel::<()>(1);
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(path).unwrap();
        pipe.write_all(b"{1}\n").unwrap();
        // The second line is written only once the first was read.
        told.recv().unwrap();
        pipe.write_all(b"{2}").unwrap();
    });
    let mut next = async || match source.next().await.unwrap() {
        Read::Records { records, .. } => {
            Some(records.iter().flat_map(|record| record.data.to_vec()).collect::<Vec<u8>>())
        }
        Read::End { .. } => None,
    };
    assert_eq!(next().await.as_deref(), Some(b"{1}\n".as_slice()));
    go_on.send(()).unwrap();
    assert_eq!(next().await.as_deref(), Some(b"{2}".as_slice()));
    assert_eq!(next().await, None);
    writer.join().unwrap();
}
