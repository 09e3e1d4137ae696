//! The bar: two lines at the bottom of a terminal, redrawn in place.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use terminal_size::{Width, terminal_size_of};

/// The places of the bar itself.
const PLACES: usize = 20;

/// The columns that stay free at the end of a line. A terminal shows `^C` behind the last one; where that began another
/// line, the bar would be cleared one line too low.
const FREE: usize = 4;

/// A bar on standard error, which is a terminal.
#[derive(Default)]
pub(super) struct Bar {
    /// What stands there now.
    drawn: Mutex<Option<[String; 2]>>,
}

impl Bar {
    /// The columns that a line may take.
    pub(super) fn columns() -> usize {
        let columns = terminal_size_of(io::stderr()).map_or(80, |(Width(columns), _)| usize::from(columns));
        columns.saturating_sub(FREE).max(1)
    }

    /// Shows that `share` of the work is done, with a text beside the bar and one below it.
    pub(super) fn draw(&self, share: f64, beside: &str, below: &str) {
        let full = (share.clamp(0.0, 1.0) * PLACES as f64) as usize;
        let bar = format!("{}{} {beside}", "█".repeat(full), "░".repeat(PLACES - full));
        let lines = [bar, below.to_owned()].map(|line| line.chars().take(Self::columns()).collect::<String>());
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{}{}", erasure(drawn.as_ref()), lines.join("\n"));
        *drawn = Some(lines);
        // Nothing is left to do if standard error is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        // As above.
        let _ = io::stderr().write_all(erasure(drawn.as_ref()).as_bytes());
        *drawn = None;
    }

    /// Writes whole lines above it.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) fn write_above(&self, text: &[u8]) -> io::Result<()> {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = erasure(drawn.as_ref()).as_bytes().to_vec();
        page.extend_from_slice(text);
        page.extend(drawn.iter().flat_map(|lines| lines.join("\n").into_bytes()));
        io::stderr().write_all(&page)
    }
}

/// What takes the two lines away, from the end of the second to the beginning of the first.
fn erasure(drawn: Option<&[String; 2]>) -> &'static str {
    if drawn.is_some() { "\r\x1b[2K\x1b[1A\x1b[2K" } else { "" }
}
