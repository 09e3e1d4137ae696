//! Opening the file: for this process alone, readable by its owner alone, without what a crash left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use super::{member, warn};

/// The bytes that are read at a time in the search for the last newline.
const SEARCH_BYTES: u64 = 64 * 1024;

/// An open and locked file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// The bytes to keep.
    pub(super) length: u64,
    /// The bytes of lines in them: more where they are compressed.
    pub(super) content_bytes: u64,
    /// When the file was begun, as far as the system knows.
    pub(super) begun: SystemTime,
}

impl Opened {
    /// Opens or creates the file and its directories, and locks it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Prompts and answers are their owner's alone.
            options.mode(0o600);
        }
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                warn!(file = %path.display(), "this file system has no locks; let no other process write to the file");
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        // The name must be on the disk before the first line counts as delivered.
        sync_directory(path)?;
        let begun = metadata.created().or_else(|_| metadata.modified()).unwrap_or_else(|_| SystemTime::now());
        Ok(Self { file, length: metadata.len(), content_bytes: metadata.len(), begun })
    }

    /// Finds the bytes to keep; what is behind them was never acknowledged. Returns whether the file is damaged in a
    /// way that a crash does not explain.
    pub(super) fn mend(&mut self, path: &Path, gzip: bool) -> io::Result<bool> {
        let whole = if gzip {
            let whole = member::whole(&mut self.file)?;
            if whole.damaged {
                warn!(file = %path.display(), good_bytes = whole.bytes, "the file is damaged, setting it aside");
                return Ok(true);
            }
            self.content_bytes = whole.content_bytes;
            whole.bytes
        } else {
            self.content_bytes = whole_lines(&mut self.file, self.length)?;
            self.content_bytes
        };
        if whole < self.length {
            let torn_bytes = self.length - whole;
            warn!(file = %path.display(), torn_bytes, "cutting off what a crash left unfinished; it is delivered again");
            self.length = whole;
        }
        Ok(false)
    }
}

/// The length up to and with the last newline.
fn whole_lines<F: Read + Seek>(file: &mut F, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(SEARCH_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether the path still leads to this open file.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    }
    #[cfg(not(unix))]
    {
        // An open file cannot be moved away there.
        let _ = (file, path);
        true
    }
}

/// Returns once the directory's entries are on the disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }
    #[cfg(not(unix))]
    {
        // Directories cannot be opened there; the file system keeps its own order.
        let _ = path;
        Ok(())
    }
}

/// The way out, to be put behind the path.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ResourceBusy => ": another process writes to it; stop that one or choose another path",
        ErrorKind::PermissionDenied => ": let this user write there or choose another path",
        ErrorKind::IsADirectory => ": it is a directory; name a file in it",
        ErrorKind::ReadOnlyFilesystem => ": mount a volume that can be written or choose another path",
        ErrorKind::InvalidInput => ": choose a path for a regular file, or the stdout sink",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn lines_are_whole_up_to_the_last_newline() {
        let long = [b"a\n".as_slice(), &vec![b'x'; 3 * 64 * 1024]].concat();
        let check = |content: &[u8], expected: u64| {
            assert_eq!(whole_lines(&mut Cursor::new(content), content.len() as u64).unwrap(), expected);
        };
        check(b"", 0);
        check(b"torn", 0);
        check(b"a\nb\n", 4);
        check(b"a\nb\ntorn", 4);
        check(&long, 2);
        check(&long[1..], 1);
        check(&long[2..], 0);
    }
}
