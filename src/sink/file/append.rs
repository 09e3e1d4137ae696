//! An append that is whole or not there: after a failed write the file is cut back to its last durable length.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

/// What is appended to: a file, or a scripted one in tests.
pub(super) trait Medium: Send {
    /// Writes all bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `length` bytes and goes on from there.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}

/// Appends to a medium of which the first `durable_bytes` are on the disk.
#[derive(Debug)]
pub(super) struct Appender<M> {
    medium: M,
    durable_bytes: u64,
    torn: bool,
}

impl<M: Medium> Appender<M> {
    /// Goes on after `durable_bytes`. What lies behind them is cut off before the first append.
    pub(super) fn new(medium: M, durable_bytes: u64) -> Self {
        Self { medium, durable_bytes, torn: true }
    }

    /// The bytes that are on the disk.
    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable_bytes
    }

    /// What is appended to.
    pub(super) fn medium(&self) -> &M {
        &self.medium
    }

    /// Appends the chunks and returns once they are on the disk. After an error none of them is in the file, or is cut
    /// off by the next append. A failed sync counts as a failed write: the system may have dropped the pages, so they
    /// are written anew and not just synced again.
    pub(super) fn append<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.mend()?;
        self.torn = true;
        let mut written = 0;
        let result = self.write(chunks, &mut written);
        if result.is_ok() {
            self.durable_bytes += written;
            self.torn = false;
        } else {
            // If this fails too, the next append tries it again before it writes.
            let _ = self.mend();
        }
        result
    }

    /// Cuts off what a failed append left behind.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.medium.truncate(self.durable_bytes)?;
            self.torn = false;
        }
        Ok(())
    }

    fn write<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>, written: &mut u64) -> io::Result<()> {
        for chunk in chunks {
            self.medium.write_all(chunk)?;
            *written += chunk.len() as u64;
        }
        self.medium.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A disk with so much room; each operation may be scripted to fail.
    #[derive(Default)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        failing_syncs: usize,
        failing_truncates: usize,
    }

    fn take(count: &mut usize) -> io::Result<()> {
        if *count == 0 {
            return Ok(());
        }
        *count -= 1;
        Err(io::ErrorKind::Other.into())
    }

    impl Medium for Disk {
        fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            let fits = bytes.len().min(self.room.saturating_sub(self.bytes.len()));
            self.bytes.extend_from_slice(&bytes[..fits]);
            if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            take(&mut self.failing_syncs)
        }

        fn truncate(&mut self, length: u64) -> io::Result<()> {
            take(&mut self.failing_truncates)?;
            self.bytes.resize(usize::try_from(length).unwrap(), 0);
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn what_was_acknowledged_is_there_and_nothing_else(
            script in prop::collection::vec((1usize..30, 0usize..60, 0usize..2, 0usize..2), 1..20)
        ) {
            let mut appender = Appender::new(Disk { bytes: b"old\ntorn".to_vec(), ..Disk::default() }, 4);
            let mut expected = b"old\n".to_vec();
            for (number, (length, room, failing_syncs, failing_truncates)) in script.into_iter().enumerate() {
                appender.medium.room = expected.len() + room;
                appender.medium.failing_syncs = failing_syncs;
                appender.medium.failing_truncates = failing_truncates;
                let line = [vec![b'a' + u8::try_from(number).unwrap(); length], b"\n".to_vec()];
                if appender.append(line.iter().map(Vec::as_slice)).is_ok() {
                    expected.extend(line.concat());
                    prop_assert_eq!(&appender.medium.bytes, &expected);
                }
            }
            appender.medium.failing_truncates = 0;
            appender.mend().unwrap();
            prop_assert_eq!(&appender.medium.bytes, &expected);
            prop_assert_eq!(appender.durable_bytes(), expected.len() as u64);
        }
    }
}
