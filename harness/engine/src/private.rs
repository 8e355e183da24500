//! This user's own folders in places where others may write, such as `/tmp`: keys are kept there, and `tlsboot gc`
//! deletes there.
//!
//! A name in such a place proves nothing: another user may have created the folder first, or put a link there. So a
//! folder is opened once, without following a link, and checked; its files are opened and removed through that
//! descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A folder that belongs to this user.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
    folder: OwnedFd,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Without `NONBLOCK`, opening a named pipe would wait for its other end.
const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl PrivateDir {
    /// Opens a folder.
    ///
    /// # Errors
    /// If it does not exist, is not a folder (a link to one is not), or belongs to another user.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let folder = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => refused(path, "it is not a folder"),
            other => at(path, other),
        })?;
        match rustix::fs::fstat(&folder)?.st_uid {
            uid if uid == user() => Ok(Self { path: path.to_owned(), folder }),
            uid => Err(refused(path, &format!("it belongs to another user (uid {uid})"))),
        }
    }

    /// Opens a folder, and creates it if it does not exist. From then on only this user can enter it, whatever the
    /// umask is now or was when it was created.
    ///
    /// # Errors
    /// Those of [`PrivateDir::open`], and if it cannot be created.
    pub(crate) fn ensure(path: &Path) -> io::Result<Self> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(at(path, error)),
        }
        let folder = Self::open(path)?;
        rustix::fs::fchmod(&folder.folder, Mode::RWXU).map_err(|error| at(path, error))?;
        Ok(folder)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to another name in the same file system.
    ///
    /// # Errors
    /// If something else has that name.
    pub(crate) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        std::fs::rename(&self.path, &to)?;
        self.path = to;
        Ok(())
    }

    /// Opens a regular file of this user, for reading and writing.
    ///
    /// # Errors
    /// If it does not exist, is something other than a regular file (a link is), or belongs to another user.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::empty())
    }

    /// The same, and creates the file if it does not exist.
    ///
    /// # Errors
    /// Those of [`PrivateDir::open_file`], and if it cannot be created.
    pub(crate) fn open_or_create_file(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::CREATE)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let path = self.path.join(name);
        let file = rustix::fs::openat(&self.folder, name, FILE | flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(|error| at(&path, error))?;
        let found = rustix::fs::fstat(&file)?;
        // A second hard link could make another of this user's files the target; no link means that it was just
        // removed.
        let is_plain = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink <= 1;
        if is_plain && found.st_uid == user() {
            Ok(file.into())
        } else {
            Err(refused(&path, "it is not a regular file of this user"))
        }
    }

    /// The names of its entries, as far as they are UTF-8.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let entries =
            Dir::read_from(&self.folder)?.map(|entry| Ok(entry?.file_name().to_str().ok().map(str::to_owned)));
        let names: Result<Vec<_>, Errno> = entries.filter_map(Result::transpose).collect();
        Ok(names?)
    }

    /// Removes a file or link in it.
    ///
    /// # Errors
    /// If it does not exist, or is a folder.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    /// Removes everything in it, and then the folder. Links are removed, not followed; a folder that was put in its
    /// place in the meantime is not touched.
    ///
    /// # Errors
    /// If something cannot be removed; what comes after it is kept.
    pub(crate) fn remove(&self) -> io::Result<()> {
        empty(self.folder.as_fd())?;
        Ok(rustix::fs::rmdir(&self.path)?)
    }
}

fn empty(folder: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [".", ".."].map(OsStr::new).contains(&OsStr::from_bytes(name.to_bytes())) {
            continue;
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                empty(rustix::fs::openat(folder, name, FOLDER, Mode::empty())?.as_fd())?;
                rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn at(path: &Path, error: Errno) -> io::Error {
    io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", path.display()))
}

fn refused(path: &Path, why: &str) -> io::Error {
    let what = format!("{}: {why}; remove it, or set TMPDIR to your own folder", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_can_enter_whatever_the_umask_was() {
        let lab = tempfile::tempdir().unwrap();
        let path = lab.path().join("own");
        PrivateDir::ensure(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        PrivateDir::ensure(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn links_and_files_are_not_folders() {
        let lab = tempfile::tempdir().unwrap();
        let (link, file) = (lab.path().join("link"), lab.path().join("file"));
        symlink(lab.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        for path in [&link, &file] {
            for error in [PrivateDir::open(path).unwrap_err(), PrivateDir::ensure(path).unwrap_err()] {
                assert!(error.to_string().contains("it is not a folder"), "{error}");
            }
        }
    }

    /// Only root can change the owner of a folder.
    #[test]
    fn a_folder_of_another_user_is_refused() {
        let lab = tempfile::tempdir().unwrap();
        let path = lab.path().join("theirs");
        fs::create_dir(&path).unwrap();
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            let error = PrivateDir::ensure(&path).unwrap_err().to_string();
            assert!(error.contains("it belongs to another user (uid 65534)"), "{error}");
        }
    }

    #[test]
    fn only_plain_files_are_opened_and_none_behind_a_link_is_made() {
        let lab = tempfile::tempdir().unwrap();
        let folder = PrivateDir::ensure(&lab.path().join("own")).unwrap();
        let (own, elsewhere) = (lab.path().join("own"), lab.path().join("elsewhere"));
        symlink(&elsewhere, own.join("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, own.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        fs::create_dir(own.join("folder")).unwrap();
        fs::write(lab.path().join("other"), "kept").unwrap();
        fs::hard_link(lab.path().join("other"), own.join("hard")).unwrap();
        for name in ["link", "pipe", "folder", "hard"] {
            assert!(folder.open_or_create_file(name).is_err(), "{name}");
            assert!(folder.open_file(name).is_err(), "{name}");
        }
        assert!(!elsewhere.exists());
        folder.open_or_create_file("plain").unwrap();
        folder.open_file("plain").unwrap();
        assert_eq!(mode(&own.join("plain")), 0o600);
    }

    #[test]
    fn removing_follows_no_link() {
        let lab = tempfile::tempdir().unwrap();
        let (own, kept) = (lab.path().join("own"), lab.path().join("kept"));
        fs::create_dir_all(own.join("a/b")).unwrap();
        fs::write(own.join("a/b/file"), "").unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("thesis"), "x").unwrap();
        symlink(&kept, own.join("a/link")).unwrap();
        symlink(&kept, own.join("link")).unwrap();
        PrivateDir::open(&own).unwrap().remove().unwrap();
        assert!(!own.exists() && kept.join("thesis").exists());
    }

    #[test]
    fn what_took_the_folders_place_is_not_removed() {
        let lab = tempfile::tempdir().unwrap();
        let (own, away) = (lab.path().join("own"), lab.path().join("away"));
        let folder = PrivateDir::ensure(&own).unwrap();
        fs::write(own.join("key"), "").unwrap();
        fs::rename(&own, &away).unwrap();
        fs::create_dir(&own).unwrap();
        fs::write(own.join("thesis"), "x").unwrap();
        folder.remove().unwrap_err();
        assert!(own.join("thesis").exists() && !away.join("key").exists());
    }
}
