//! The folder of a running cluster: keys, sockets, databases. It is removed at the end of the run; if the run is killed,
//! the next one removes it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::private::PrivateDir;

/// A cluster's folder, removed on drop.
#[derive(Debug)]
pub struct RunDir {
    folder: PrivateDir,
    _lock: fs::File,
}

const PREFIX: &str = "tlsboot-run-";
const STAGING: &str = ".tlsboot-new-";
/// The file that is locked while the run is alive. Its content marks the folder as one that may be removed.
const LOCK: &str = "lock";
const MARK: &str = "tlsboot removes this folder when the run that made it has ended\n";

impl RunDir {
    /// A new folder that only this user can enter.
    ///
    /// # Errors
    /// If the folder for temporary files cannot be written to.
    pub fn create() -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        check(&temporary)?;
        Self::create_in(&temporary)
    }

    fn create_in(temporary: &Path) -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let staging = tempfile::Builder::new().prefix(STAGING).permissions(private).tempdir_in(temporary)?;
        let mut folder = PrivateDir::ensure(staging.path())?;
        let mut lock = folder.open_or_create_file(LOCK)?;
        // Before the mark: a folder with a mark and without a lock belongs to a killed run.
        lock.lock()?;
        lock.write_all(MARK.as_bytes())?;
        let name = staging.path().file_name().unwrap_or_default().to_string_lossy().replace(STAGING, PREFIX);
        folder.rename(temporary.join(name))?;
        // There is nothing left at its path.
        let _ = staging.keep();
        Ok(Self { folder, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = self.folder.remove() {
            tracing::warn!(path = %self.path().display(), %error, "the cluster's folder could not be removed; `tlsboot gc` removes it");
        }
    }
}

/// The longest path of the folder for temporary files, in bytes: the address of a Unix socket holds 107, and the
/// kubelet creates sockets below a node's folder.
pub const LONGEST_TEMPORARY: usize = 54;

/// Whether clusters can have their folders in the folder for temporary files.
///
/// # Errors
/// If they cannot, with what to do.
pub fn check_temporary() -> io::Result<()> {
    check(&std::env::temp_dir())
}

fn check(temporary: &Path) -> io::Result<()> {
    let wrong = |why: &str| {
        let what = format!(
            "TMPDIR={}: {why}; set it to an existing folder with a short absolute path, such as /tmp",
            temporary.display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    };
    match temporary.metadata() {
        _ if !temporary.is_absolute() => wrong("it is not an absolute path"),
        _ if temporary.as_os_str().len() > LONGEST_TEMPORARY => {
            wrong("it is too long for the paths of Unix sockets below it")
        }
        Err(error) => wrong(&error.to_string()),
        Ok(found) if !found.is_dir() => wrong("it is not a folder"),
        Ok(_) => Ok(()),
    }
}

/// The result of a clean-up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The folders of killed runs that were removed.
    pub removed: Vec<PathBuf>,
    /// This user's folders that are named like a run's and were not removed, with the reason.
    pub left: Vec<(PathBuf, String)>,
}

/// Removes what killed runs of this user left: folders with the mark of a run that no process has locked.
///
/// # Errors
/// If the folder for temporary files cannot be read.
pub fn sweep() -> io::Result<Sweep> {
    sweep_in(&std::env::temp_dir())
}

fn sweep_in(temporary: &Path) -> io::Result<Sweep> {
    let mut sweep = Sweep::default();
    for (path, run) in runs(temporary)? {
        match run {
            Run::Alive => {}
            Run::Dead { folder, .. } => match folder.remove() {
                Ok(()) => sweep.removed.push(path),
                // Another clean-up was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => sweep.left.push((path, error.to_string())),
            },
            Run::Unknown(why) => sweep.left.push((path, why)),
        }
    }
    Ok(sweep)
}

/// The folders that killed runs of this user left.
///
/// # Errors
/// If the folder for temporary files cannot be read.
pub fn abandoned() -> io::Result<Vec<PathBuf>> {
    let dead = |(path, run)| matches!(run, Run::Dead { .. }).then_some(path);
    Ok(runs(&std::env::temp_dir())?.into_iter().filter_map(dead).collect())
}

/// The folders of runs of this user that may be alive.
pub fn living() -> io::Result<Vec<PathBuf>> {
    let living = |(path, run)| (!matches!(run, Run::Dead { .. })).then_some(path);
    Ok(runs(&std::env::temp_dir())?.into_iter().filter_map(living).collect())
}

/// Whether a path lies in a folder whose name is reserved for runs, which `tlsboot gc` inspects.
pub fn is_reserved(path: &Path) -> bool {
    let temporary = std::env::temp_dir();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let below = [Some(temporary.clone()), temporary.canonicalize().ok()].into_iter().flatten();
    below
        .filter_map(|folder| absolute.strip_prefix(folder).ok()?.iter().next())
        .any(|name| is_name(&name.to_string_lossy()))
}

/// A folder with a run's name.
enum Run {
    /// Its process has the lock.
    Alive,
    /// It belongs to a killed run; the lock is held, so no other process can take it.
    Dead { folder: PrivateDir, _lock: fs::File },
    /// Not known to belong to a run, and why.
    Unknown(String),
}

/// This user's entries in the folder for temporary files that have a run's name.
fn runs(temporary: &Path) -> io::Result<Vec<(PathBuf, Run)>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(temporary)? {
        let path = entry?.path();
        let is_run = is_name(&path.file_name().unwrap_or_default().to_string_lossy());
        // Other users' folders are left alone.
        if is_run && path.symlink_metadata().is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw()) {
            let run = look_at(&path).unwrap_or_else(|error| Run::Unknown(error.to_string()));
            runs.push((path, run));
        }
    }
    runs.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(runs)
}

fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(STAGING)
}

fn look_at(path: &Path) -> io::Result<Run> {
    let folder = PrivateDir::open(path)?;
    let unmarked =
        || Run::Unknown("it was not created by a run of this tlsboot; if it is not needed, remove it yourself".into());
    let mut lock = match folder.open_file(LOCK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(unmarked()),
        opened => opened?,
    };
    if lock.try_lock().is_err() {
        return Ok(Run::Alive);
    }
    let mut mark = String::new();
    let is_marked = (&mut lock).take(MARK.len() as u64 + 1).read_to_string(&mut mark).is_ok() && mark == MARK;
    Ok(if is_marked { Run::Dead { folder, _lock: lock } } else { unmarked() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;

    const KILLED: &str = "tlsboot-run-killed";

    /// A folder for temporary files, with the leftovers of a killed run in it.
    fn temporary() -> tempfile::TempDir {
        let temporary = tempfile::tempdir().unwrap();
        killed(&temporary.path().join(KILLED));
        temporary
    }

    fn killed(path: &Path) {
        fs::create_dir_all(path.join("n1/pki")).unwrap();
        fs::write(path.join("n1/pki/key"), "secret").unwrap();
        fs::write(path.join(LOCK), MARK).unwrap();
    }

    #[test]
    fn a_runs_folder_is_for_its_user_only_and_goes_with_it() {
        let temporary = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(temporary.path()).unwrap();
        let path = run.path().to_owned();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(sweep_in(temporary.path()).unwrap(), Sweep::default(), "it is alive");
        assert!(path.exists());
        drop(run);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let temporary = temporary();
        killed(&temporary.path().join(".tlsboot-new-half"));
        let removed = [".tlsboot-new-half", KILLED].map(|name| temporary.path().join(name));
        assert_eq!(sweep_in(temporary.path()).unwrap(), Sweep { removed: removed.into(), left: Vec::new() });
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    /// Only the mark proves that a folder may be removed: not its name, not its age, not a file called `lock`.
    #[rstest]
    #[case::notes(|path: &Path| fs::write(path.join("thesis"), "x").unwrap())]
    #[case::report(|path: &Path| fs::write(path.join("result.json"), "{}").unwrap())]
    #[case::empty(|_: &Path| ())]
    #[case::empty_lock(|path: &Path| fs::write(path.join(LOCK), "").unwrap())]
    #[case::other_lock(|path: &Path| fs::write(path.join(LOCK), format!("{MARK}more")).unwrap())]
    #[case::linked_lock(|path: &Path| symlink(path.with_file_name(KILLED).join(LOCK), path.join(LOCK)).unwrap())]
    #[case::piped_lock(|path: &Path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join(LOCK), mode).unwrap();
    })]
    fn a_folder_without_a_mark_stays_and_is_named(
        #[values("tlsboot-run-notes", ".tlsboot-new-notes")] name: &str,
        #[case] make: fn(&Path),
    ) {
        let temporary = temporary();
        let path = temporary.path().join(name);
        fs::create_dir(&path).unwrap();
        make(&path);
        let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        fs::File::open(&path).unwrap().set_times(long_ago).unwrap();
        let before = fs::read_dir(&path).unwrap().count();
        let sweep = sweep_in(temporary.path()).unwrap();
        assert_eq!(sweep.removed, [temporary.path().join(KILLED)]);
        assert_eq!(sweep.left.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&path]);
        assert_eq!(fs::read_dir(&path).unwrap().count(), before);
    }

    #[test]
    fn a_link_is_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = temporary.path().join("elsewhere");
        killed(&elsewhere);
        symlink(&elsewhere, temporary.path().join(KILLED)).unwrap();
        assert_eq!(sweep_in(temporary.path()).unwrap().removed, Vec::<PathBuf>::new());
        assert!(elsewhere.join("n1/pki/key").exists());
    }

    /// Only root can change the owner of a folder.
    #[test]
    fn another_users_folder_is_not_touched() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join(KILLED);
        killed(&path);
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            assert_eq!(sweep_in(temporary.path()).unwrap(), Sweep::default());
            assert!(path.join(LOCK).exists());
        }
    }

    #[test]
    fn a_temporary_folder_that_is_no_use_is_named_with_what_to_do() {
        check(Path::new("/")).unwrap();
        let long = format!("/{}", "a".repeat(100));
        for (path, why) in [
            ("", "not an absolute path"),
            ("tmp", "not an absolute path"),
            ("/no/such/folder", "No such file"),
            ("/proc/self/status", "not a folder"),
            (&long, "too long"),
        ] {
            let error = check(Path::new(path)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("TMPDIR={path}: ")) && error.contains(why), "{error}");
            assert!(error.contains("such as /tmp"), "{error}");
        }
    }

    #[test]
    fn names_of_runs_are_reserved() {
        let temporary = std::env::temp_dir();
        assert!(is_reserved(&temporary.join("tlsboot-run-1")));
        assert!(is_reserved(&temporary.join("tlsboot-run-1/out")));
        assert!(!is_reserved(&temporary.join("out/tlsboot-run-1")));
        assert!(!is_reserved(Path::new("tlsboot-out")));
    }
}
