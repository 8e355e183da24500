//! Following a file to which another process appends lines.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::time::timeout;

use super::Sink;
use super::looks::QUIET;
use super::pace::Pace;
use super::written::Written;
use crate::task::Task;
use tlsboot_core::history::event::Recorder;

/// How much is read from the file at once, so that other recorders get their turn.
const CHUNK: u64 = 1 << 20;

/// A file that a recorder follows.
pub(super) struct Followed {
    /// It need not exist yet.
    pub(super) path: PathBuf,
    /// For gaps: `the audit log`.
    pub(super) name: String,
    /// Which recorder follows it.
    pub(super) recorder: Recorder,
    /// What the recorder looks at by it.
    pub(super) source: String,
    /// How long after a write it is read, so that many writes in a row are read together.
    pub(super) pace: Pace,
}

impl Followed {
    /// Passes each line to `record`. Reports that the recorder has started when the file exists. A file that is
    /// truncated, replaced or cannot be read is a gap.
    pub(super) fn follow(self, sink: Sink, mut record: impl FnMut(&str, &Sink) + Send + 'static) -> Task {
        Task::spawn(async move {
            let mut tail = Tail::new(self.path);
            let mut started = false;
            let mut failed = false;
            loop {
                let now = sink.mono();
                match tail.look() {
                    Ok(look) => {
                        if tail.is_open() && !std::mem::replace(&mut started, true) {
                            sink.started(self.recorder);
                        }
                        if let Some(why) = look.lost {
                            sink.gap(self.recorder, format!("{}: {why}", self.name));
                        }
                        look.lines.iter().for_each(|line| record(line, &sink));
                        if tail.is_open() && !tail.is_behind {
                            sink.looked(self.recorder, &self.source, now);
                        }
                    }
                    Err(error) if !std::mem::replace(&mut failed, true) => {
                        let why = format!("{} cannot be read: {error}", self.name);
                        sink.gap(self.recorder, why);
                    }
                    Err(_) => {}
                }
                // Without a line for a while, that there is none is worth a look.
                let _ = timeout(QUIET, tail.written()).await;
                self.pace.wait(&sink).await;
            }
        })
    }
}

/// A file that grows, read line by line.
struct Tail {
    path: PathBuf,
    written: Written,
    open: Option<File>,
    /// Bytes read so far.
    offset: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
    /// Was there more than is read at once?
    is_behind: bool,
}

/// The result of reading the file once.
#[derive(Debug, Default, PartialEq)]
struct Look {
    /// The lines that were completed since, without line endings.
    lines: Vec<String>,
    /// Why something may be missing before these lines.
    lost: Option<&'static str>,
}

impl Tail {
    /// The file need not exist yet. It is read from its beginning.
    fn new(path: PathBuf) -> Self {
        Self { written: Written::to(&path), path, open: None, offset: 0, partial: Vec::new(), is_behind: false }
    }

    /// Did the file exist at some time?
    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Waits until there is something new.
    async fn written(&self) {
        if !self.is_behind {
            self.written.again().await;
        }
    }

    /// Reads what is new. A missing file is not an error.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn look(&mut self) -> io::Result<Look> {
        let mut look = Look::default();
        let Some(found) = found(&self.path)? else {
            return Ok(look);
        };
        look.lost = self.lost(&found)?;
        if look.lost.is_some() {
            *self = Self::new(std::mem::take(&mut self.path));
        }
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        let new = found.len().saturating_sub(self.offset).min(CHUNK);
        // One byte more than there is, so that the end is noticed without growing the buffer.
        self.partial.reserve(new as usize + 1);
        let read = file.take(CHUNK).read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        self.is_behind = read as u64 == CHUNK;
        look.lines = finished(&mut self.partial);
        Ok(look)
    }

    fn lost(&self, found: &Metadata) -> io::Result<Option<&'static str>> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let open = open.metadata()?;
        Ok(if (open.dev(), open.ino()) != (found.dev(), found.ino()) {
            Some("the file was replaced by another one")
        } else if found.len() < self.offset {
            Some("the file was truncated")
        } else {
            None
        })
    }
}

fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the completed lines out.
fn finished(bytes: &mut Vec<u8>) -> Vec<String> {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let rest = bytes.split_off(end + 1);
    let whole = std::mem::replace(bytes, rest);
    let text = String::from_utf8_lossy(&whole);
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    fn lines(tail: &mut Tail) -> Vec<String> {
        let look = tail.look().unwrap();
        assert_eq!(look.lost, None);
        look.lines
    }

    #[test]
    fn only_whole_lines_come_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        assert!(lines(&mut tail).is_empty() && !tail.is_open());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(lines(&mut tail), ["one"]);
        assert!(lines(&mut tail).is_empty() && tail.is_open());
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(lines(&mut tail), ["two", "three"]);
    }

    #[tokio::test]
    async fn more_than_one_look_takes_in_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        fs::write(&path, "line\n".repeat(CHUNK as usize / 4)).unwrap();
        assert!(!lines(&mut tail).is_empty());
        // The notification of the write itself.
        tail.written.again().await;
        let soon = tokio::time::timeout(Duration::from_millis(500), tail.written());
        assert!(soon.await.is_ok() && !lines(&mut tail).is_empty());
    }

    #[test]
    fn truncation_and_replacement_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(lines(&mut tail).len(), 2);
        fs::write(&path, "new\n").unwrap();
        let look = tail.look().unwrap();
        assert_eq!((look.lines, look.lost.is_some()), (vec!["new".into()], true));
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        assert!(lines(&mut tail).is_empty());
        fs::write(&path, "other\n").unwrap();
        let look = tail.look().unwrap();
        assert_eq!((look.lines, look.lost.is_some()), (vec!["other".into()], true));
    }
}
