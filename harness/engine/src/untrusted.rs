//! Reading files from untrusted sources: reports and evidence from others, lists, policies.
//!
//! Such a file may be a link to another one that must not be shown, a named pipe without a writer, or larger than the
//! memory. Only regular files of bounded length are read here, and below a [`Folder`] without following any link.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};

/// The size limit of a history, in bytes.
pub const LONGEST_HISTORY: u64 = 1 << 30;
/// The size limit of all other files, in bytes.
pub const LONGEST: u64 = 64 << 20;
/// How long a pipe may be silent.
const PATIENCE: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
/// The maximum depth of nested folders.
const DEEPEST: usize = 32;

const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const NO_LINK: OFlags = READ.union(OFlags::NOFOLLOW);

/// Reads a file that the user named, which may be a link, or a pipe of the shell's (`<(…)`).
///
/// # Errors
/// If it cannot be read, is neither a regular file nor a pipe, or is larger than `longest` bytes; or if nothing comes
/// through the pipe.
pub fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let file = rustix::fs::openat(CWD, path, READ, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::Fifo => read_pipe(file, longest),
        _ => read_all(plain(file)?, longest),
    }
}

/// Whether a file that another library reads can be read: see [`read`]. A pipe cannot, because it would be empty
/// afterwards.
///
/// # Errors
/// If it cannot.
pub fn check(path: &Path, longest: u64) -> io::Result<()> {
    read_all(plain(rustix::fs::openat(CWD, path, READ, Mode::empty())?)?, longest).map(drop)
}

/// The same for a text.
///
/// # Errors
/// Those of [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, longest: u64) -> io::Result<String> {
    text(read(path, longest)?)
}

/// A folder with untrusted files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    folder: OwnedFd,
}

impl Folder {
    /// Opens a folder that the user named, which may be a link.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = rustix::fs::openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it.
    ///
    /// # Errors
    /// If it does not exist, or only through a link or outside this folder.
    pub fn folder(&self, inside: &Path) -> io::Result<Self> {
        let mut folder = self.folder.try_clone()?;
        for name in names(inside)? {
            folder = open_folder(folder.as_fd(), name)?;
        }
        Ok(Self { path: self.path.join(inside), folder })
    }

    /// Opens a regular file in it.
    ///
    /// # Errors
    /// If it does not exist, or only through a link or outside this folder.
    pub fn file(&self, inside: &Path) -> io::Result<File> {
        let (Some(name), above) = (inside.file_name(), inside.parent().unwrap_or(Path::new(""))) else {
            return Err(outside());
        };
        names(inside)?;
        let folder = self.folder(above)?;
        let opened = rustix::fs::openat(&folder.folder, name, NO_LINK, Mode::empty());
        plain(opened.map_err(|error| match error {
            rustix::io::Errno::LOOP => io::Error::other("it is a link"),
            other => other.into(),
        })?)
    }

    /// Reads a regular file in it.
    ///
    /// # Errors
    /// Those of [`Folder::file`], and if it is larger than `longest` bytes.
    pub fn read(&self, inside: impl AsRef<Path>, longest: u64) -> io::Result<Vec<u8>> {
        read_all(self.file(inside.as_ref())?, longest)
    }

    /// The same for a text.
    ///
    /// # Errors
    /// Those of [`Folder::read`], and if it is not UTF-8.
    pub fn read_text(&self, inside: impl AsRef<Path>, longest: u64) -> io::Result<String> {
        text(self.read(inside, longest)?)
    }

    /// All files in it and below, by their relative paths, sorted.
    ///
    /// # Errors
    /// If one is not a regular file, for example a link, or if a folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        collect(self.folder.as_fd(), Path::new(""), DEEPEST, &mut files)?;
        files.sort();
        Ok(files)
    }
}

fn collect(folder: BorrowedFd<'_>, at: &Path, deepest: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;

    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let path = at.join(name);
        let found = rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => files.push(path),
            FileType::Directory if deepest > 0 => {
                collect(open_folder(folder, name)?.as_fd(), &path, deepest - 1, files)?;
            }
            FileType::Directory => return Err(io::Error::other(format!("{} is nested too deeply", path.display()))),
            _ => return Err(io::Error::other(format!("{} is neither a file nor a folder", path.display()))),
        }
    }
    Ok(())
}

fn open_folder(above: BorrowedFd<'_>, name: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    let opened = rustix::fs::openat(above, name, NO_LINK | OFlags::DIRECTORY, Mode::empty());
    opened.map_err(|error| match error {
        rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
            io::Error::other(format!("{} is not a folder", Path::new(name).display()))
        }
        other => other.into(),
    })
}

/// The parts of a path that stays inside its folder.
fn names(inside: &Path) -> io::Result<Vec<&std::ffi::OsStr>> {
    let name = |part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(outside()),
    };
    inside.components().map(name).collect()
}

fn outside() -> io::Error {
    io::Error::other("it is outside its folder")
}

fn plain(file: OwnedFd) -> io::Result<File> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind == FileType::RegularFile { Ok(file.into()) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read_all(file: File, longest: u64) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > longest {
        return Err(too_long(longest));
    }
    let mut bytes = Vec::new();
    // It may grow, and files in /proc have no length.
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest { Err(too_long(longest)) } else { Ok(bytes) }
}

fn read_pipe(pipe: OwnedFd, longest: u64) -> io::Result<Vec<u8>> {
    use rustix::event::{PollFd, PollFlags, poll};

    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&PATIENCE))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing comes through the pipe"));
        }
        match rustix::io::read(&pipe, &mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if bytes.len() as u64 > longest {
            return Err(too_long(longest));
        }
    }
}

fn too_long(longest: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", longest >> 20))
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;

    /// A folder with a file and entries that are not files, next to a secret.
    fn lab() -> tempfile::TempDir {
        let lab = tempfile::tempdir().unwrap();
        let inside = lab.path().join("report");
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::write(inside.join("a/b/file"), "text").unwrap();
        fs::write(lab.path().join("secret"), "secret").unwrap();
        lab
    }

    #[test]
    fn plain_files_are_read() {
        let lab = lab();
        let report = Folder::open(&lab.path().join("report")).unwrap();
        assert_eq!(report.read_text("a/b/file", LONGEST).unwrap(), "text");
        let inner = report.folder(Path::new("a")).unwrap();
        assert_eq!(inner.read_text("b/file", LONGEST).unwrap(), "text");
        assert_eq!(report.files().unwrap(), [Path::new("a/b/file")]);
        assert_eq!(read_text(&report.path().join("a/b/file"), LONGEST).unwrap(), "text");
    }

    #[rstest]
    #[case::above("../secret")]
    #[case::absolute("/etc/hostname")]
    #[case::up_and_down("a/../../secret")]
    #[case::nothing("")]
    #[case::folder("a")]
    #[case::link("link")]
    #[case::through_a_link("up/secret")]
    #[case::pipe("pipe")]
    #[case::device("zero")]
    fn nothing_else_is(#[case] name: &str) {
        let lab = lab();
        let path = lab.path().join("report");
        symlink("../secret", path.join("link")).unwrap();
        symlink("..", path.join("up")).unwrap();
        symlink("/dev/zero", path.join("zero")).unwrap();
        rustix::fs::mkfifoat(CWD, path.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        Folder::open(&path).unwrap().read(name, LONGEST).unwrap_err();
    }

    #[rstest]
    #[case::link(|path: &Path| symlink("/etc/hostname", path).unwrap())]
    #[case::loop_of_links(|path: &Path| symlink(".", path).unwrap())]
    #[case::root(|path: &Path| symlink("/", path).unwrap())]
    #[case::pipe(|path: &Path| rustix::fs::mkfifoat(CWD, path, Mode::RUSR).unwrap())]
    #[case::deep(|path: &Path| fs::create_dir_all(path.join("d/".repeat(40))).unwrap())]
    fn a_walk_ends_at_what_is_no_file(#[case] make: fn(&Path)) {
        let lab = lab();
        let path = lab.path().join("report");
        make(&path.join("odd"));
        let error = Folder::open(&path).unwrap().files().unwrap_err().to_string();
        assert!(error.contains("odd"), "{error}");
    }

    #[test]
    fn a_pipe_that_the_user_named_is_read_to_its_end() {
        let lab = lab();
        let path = lab.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let open = rustix::fs::openat(CWD, &path, READ, Mode::empty()).unwrap();
        let writer = std::thread::spawn(move || fs::write(path, "kind: Config"));
        assert_eq!(read_pipe(open, LONGEST).unwrap(), b"kind: Config");
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let lab = lab();
        let path = lab.path().join("secret");
        assert_eq!(read(&path, 6).unwrap(), b"secret");
        read(&path, 5).unwrap_err();
        assert!(read(Path::new("/dev/zero"), LONGEST).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(Path::new("/proc/self/environ"), 1).is_err());
    }
}
