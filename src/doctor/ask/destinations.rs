//! Destinations: each sink, dead letter and sink of alerts is opened and asked, as `probe = true` does at the start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::together;
use crate::config::Config;
use crate::doctor::facts::{Destination, Reached};
use crate::sink::Opening;

/// What is asked.
enum Ask {
    Open(Opening),
    /// A file, which is not opened: that would make it.
    File(std::path::PathBuf),
    Nothing(&'static str),
}

/// Asks all of them at the same time.
pub(super) async fn ask(config: Arc<Config>, limit: Duration) -> Vec<Destination> {
    let mut all = Vec::new();
    for (name, sink) in &config.sinks {
        all.push((format!("sinks.{name}"), sink.kind(), question(sink.kind(), sink.path(), || sink.plan().opening)));
    }
    for (name, sink) in &config.alerts {
        all.push((format!("alerts.{name}"), sink.kind(), question(sink.kind(), sink.path(), || sink.plan().opening)));
    }
    let letter = config.dead_letter();
    let letters = config.dead_letters.iter().map(|(name, letter)| (format!("dead_letters.{name}"), letter));
    for (name, letter) in std::iter::once(("dead_letter".to_owned(), &letter)).chain(letters) {
        all.push((name, letter.kind(), question(letter.kind(), letter.path(), || letter.plan().opening)));
    }
    together(all.into_iter().map(|(name, kind, ask)| async move {
        let answer = match ask {
            Ask::Nothing(why) => Reached::NothingToAsk(why),
            Ask::File(path) => of_file(&path),
            Ask::Open(opening) => opened(opening, limit).await,
        };
        Destination { name, kind, answer }
    }))
    .await
}

fn question<C>(kind: &str, path: Option<(&Path, C)>, opening: impl FnOnce() -> Opening) -> Ask {
    match (kind, path) {
        ("stdout", _) => Ask::Nothing("it is standard output"),
        ("null", _) => Ask::Nothing("it is nothing"),
        (_, Some((path, _))) => Ask::File(path.to_path_buf()),
        (_, None) => Ask::Open(opening()),
    }
}

async fn opened(opening: Opening, limit: Duration) -> Reached {
    let asked = async {
        let sink = opening().await?;
        sink.probe().await.map_err(anyhow::Error::from)
    };
    match tokio::time::timeout(limit, asked).await {
        Err(_) => Reached::Late(limit),
        Ok(Ok(())) => Reached::Yes,
        Ok(Err(error)) => Reached::No(format!("{error:#}")),
    }
}

/// Whether the file can be there: the sink makes what is missing of its directory.
fn of_file(path: &Path) -> Reached {
    let existing = path.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.exists());
    let directory = existing.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(directory) {
        _ if path.is_dir() => Reached::No(format!("{} is a directory", path.display())),
        Ok(found) if !found.is_dir() => Reached::No(format!("{} is no directory", directory.display())),
        Ok(found) if found.permissions().readonly() => Reached::No(format!("{} is read-only", directory.display())),
        Ok(_) => Reached::Yes,
        Err(error) => Reached::No(format!("the directory {} cannot be used: {error}", directory.display())),
    }
}
