//! The shim: tlsboot's own executable, run again between a run and each process that it starts.
//!
//! It guarantees three things without a shell: the process dies with its run, however the run ends (PR_SET_PDEATHSIG,
//! twice); a kubelet has its own user, mount and pid namespaces, so that it needs no root and leaves nothing behind;
//! and the run learns the process id and the exit code.
//!
//! Every executable that uses this library calls [`run_if_asked`] first thing in `main`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

/// The first argument that turns an executable into a shim.
pub(crate) const SHIM: &str = "--tlsboot-shim";
/// The mode that starts a process and reports on it.
pub(crate) const KEEP: &str = "keep";
/// The same, with its own namespaces.
pub(crate) const SANDBOX: &str = "sandbox";
/// The same, with substitutes for some of the machine's files.
pub(crate) const OLD_SANDBOX: &str = "old-sandbox";
/// The same, with another `/etc/hosts`, whose path comes before the program.
pub(crate) const HOSTS: &str = "hosts";
/// The mode that only becomes the process.
const BECOME: &str = "become";

/// A parent outside the pid namespace.
const OUTSIDE: u32 = 0;
/// The folder whose path is hard-coded in the kubelet (its device plugins' sockets).
const KUBELET_FOLDER: &str = "/var/lib/kubelet";
/// Settings of the kernel, and what kubelets set them to (`setupKernelTunables` in
/// `pkg/kubelet/cm/container_manager_linux.go`).
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// A command that becomes the program, and is killed when the thread that started it exits.
pub(crate) fn dies_with_us(program: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let me = std::process::id().to_string();
    command.args([SHIM, BECOME, &me]).arg(program);
    command
}

/// Acts as the shim and ends the process, if the command line says so.
pub fn run_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != SHIM) {
        return;
    }
    let done = act(args.collect());
    if let Err(error) = &done {
        report(&format!("error {error}"));
    }
    // `main` has not begun: there is nothing to unwind.
    std::process::exit(i32::from(done.is_err()))
}

fn act(args: Vec<OsString>) -> io::Result<()> {
    let [mode, parent, program, rest @ ..] = args.as_slice() else {
        return Err(io::Error::other("the shim is for tlsboot's own use"));
    };
    die_with_parent(&parent.to_string_lossy())?;
    match mode.to_string_lossy().as_ref() {
        BECOME => Err(Command::new(program).args(rest).exec()),
        KEEP => keep(program, rest, std::process::id()),
        SANDBOX => {
            enter_namespaces()?;
            keep(program, rest, OUTSIDE)
        }
        OLD_SANDBOX => {
            enter_namespaces()?;
            stand_in_for_the_machine()?;
            keep(program, rest, OUTSIDE)
        }
        HOSTS => {
            let (hosts, Some((program, rest))) = (program, rest.split_first()) else {
                return Err(io::Error::other("the shim was given no program"));
            };
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            bind(Path::new(hosts), Path::new("/etc/hosts"))?;
            keep(program, rest, std::process::id())
        }
        other => Err(io::Error::other(format!("the shim has no mode `{other}`"))),
    }
}

/// From now on this process is killed when its parent exits. `parent` is the expected pid of the parent, or 0 if it is
/// outside this pid namespace: this detects a parent that has already exited.
fn die_with_parent(parent: &str) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if now.to_string() == parent { Ok(()) } else { Err(io::Error::other("the run ended")) }
}

/// Starts the process, reports its pid and its exit on standard output, and exits in the same way.
fn keep(program: &OsString, args: &[OsString], me: u32) -> io::Result<()> {
    let log = io::stderr();
    let mut child = Command::new("/proc/self/exe")
        .args([SHIM, BECOME, &me.to_string()])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(std::os::fd::AsFd::as_fd(&log).try_clone_to_owned()?)
        .spawn()?;
    report(&format!("pid {}", child.id()));
    let status = child.wait()?;
    match (status.code(), status.signal()) {
        (Some(code), _) => report(&format!("code {code}")),
        (None, signal) => report(&format!("signal {}", signal.unwrap_or(0))),
    }
    Ok(())
}

fn report(line: &str) {
    let mut out = io::stdout();
    // A run that no longer reads has exited, and this process with it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn enter_namespaces() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID)?;
    let hidden = if Path::new(KUBELET_FOLDER).is_dir() { KUBELET_FOLDER } else { "/var/lib" };
    // As root, a kubelet would also leave folders in /var/log.
    for folder in [hidden, "/var/log"] {
        mount("tmpfs", folder, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, None).map_err(restricted)?;
    }
    std::fs::create_dir_all(KUBELET_FOLDER)
}

/// Kubelets up to 1.21 exit if they may not read the kernel's log or change kernel settings; here they find an empty
/// log, and all settings as they need them.
fn stand_in_for_the_machine() -> io::Result<()> {
    bind(Path::new("/dev/null"), Path::new("/dev/kmsg"))?;
    let folder = Path::new(KUBELET_FOLDER);
    for (name, value) in SETTINGS {
        let file = folder.join(name.replace('/', "."));
        std::fs::write(&file, value)?;
        bind(&file, &Path::new("/proc/sys").join(name))?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let words =
        |error: rustix::io::Errno| io::Error::other(format!("nothing can be mounted over {}: {error}", to.display()));
    mount(from, to, "", MountFlags::BIND, None).map_err(words)
}

/// Enters namespaces of its own, of users and mounts at least, as root in them.
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare_only(flags)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(restricted)
}

#[allow(unsafe_code)]
fn unshare_only(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: unsafe only for CLONE_FILES, which is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(|error| {
        let remedy = match rustix::process::geteuid().is_root() {
            true => "in a container, give it the capability SYS_ADMIN and a seccomp profile that allows it (docker run --privileged)",
            false => "allow them (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0), or run as root",
        };
        io::Error::other(format!("user namespaces are not available here ({error}): {remedy}"))
    })
}

fn restricted(error: rustix::io::Errno) -> io::Error {
    io::Error::other(format!(
        "user namespaces are restricted here ({error}), for example by AppArmor on Ubuntu: run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
    ))
}
