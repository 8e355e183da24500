//! Writing reports: to files, and to stdout.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Format, ReportError, colours_wanted, github, html, json, junit, markdown, signature, terminal};
use tlsboot_core::plain;
use tlsboot_core::result::RunResult;

/// The files of a report.
pub(super) const FILES: [&str; 5] = ["result.json", "junit.xml", "report.html", "summary.md", signature::FILE];

/// Creates the reports of a run whose evidence is below `out`, and returns the files that it wrote. The last line of the
/// one for the terminal says where the one to read is.
///
/// A file is either complete or unchanged: each is written next to its destination and moved there.
///
/// # Errors
/// The first report that cannot be created; those before it are kept.
pub fn write_all(out: &Path, run: &RunResult, formats: &[Format]) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = Vec::new();
    for format in formats {
        let text = match format {
            Format::Terminal => {
                let colours = colours_wanted(&std::io::stdout());
                plain::lines(&terminal::summary(out, run, colours), colours)
            }
            Format::Github => github::annotations(out, run),
            Format::Json => json::text(run)?,
            Format::Junit => junit::text(out, run)?,
            Format::Html => html::page(out, run)?,
            Format::Markdown => markdown::summary(out, run),
        };
        match format.file_name() {
            Some(name) => {
                let path = out.join(name);
                write_file(&path, text.as_bytes())?;
                files.push(path);
            }
            None => write_stdout(&text)?,
        }
    }
    let to_read = [Format::Html, Format::Markdown, Format::Json].into_iter().find(|format| formats.contains(format));
    if let (true, Some(name)) = (formats.contains(&Format::Terminal), to_read.and_then(Format::file_name)) {
        write_stdout(&format!("report: {}\n", file_url(&out.join(name))))?;
    }
    Ok(files)
}

/// `file:///tmp/tlsboot-out/report.html`, which terminals make a link (RFC 8089).
fn file_url(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut url = String::from("file://");
    for byte in absolute.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(*byte)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// Signs the `result.json` that was just written, if there is a key. Without one, an older signature is removed.
///
/// # Errors
/// If it cannot be read, or the signature cannot be written.
pub fn sign(out: &Path, key: Option<&signature::SigningKey>) -> Result<(), ReportError> {
    let place = out.join(signature::FILE);
    let Some(key) = key else {
        return match std::fs::remove_file(&place) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ReportError::Write { path: place, source })
            }
            _ => Ok(()),
        };
    };
    let path = out.join("result.json");
    let bytes = std::fs::read(&path).map_err(|source| ReportError::Read { path, source })?;
    write_file(&place, &key.sign(&bytes))
}

fn write_stdout(text: &str) -> Result<(), ReportError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(ReportError::Stdout)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".tlsboot-report-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_file_is_written_and_nothing_else_is_left() {
        let folder = fixture::folder();
        let formats = [Format::Json, Format::Junit, Format::Html, Format::Markdown];
        let files = write_all(folder.path(), &fixture::run(), &formats).unwrap();
        assert_eq!(files.len(), 4);
        assert!(files.iter().all(|file| file.is_file()));
        assert_eq!(json::read(folder.path()).unwrap(), fixture::run());
        let hidden =
            |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with('.');
        assert!(!std::fs::read_dir(folder.path()).unwrap().any(hidden));
    }

    #[test]
    fn the_place_of_a_report_is_a_link() {
        assert_eq!(file_url(Path::new("/tmp/a b/é~1/report.html")), "file:///tmp/a%20b/%C3%A9~1/report.html");
    }

    #[test]
    fn an_unwritable_place_says_so() {
        let folder = fixture::folder();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = write_all(&folder.path().join("file"), &fixture::run(), &[Format::Json]).unwrap_err();
        assert!(error.to_string().contains("cannot write the report"), "{error}");
    }
}
