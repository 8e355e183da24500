//! What the replacements for the controller-manager's controllers have in common.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cluster::processes::Launch;

/// Removes a controller from `--controllers`. Returns whether it was included: if the scenario switched it off, the
/// replacement stays off too.
pub(super) fn without_controller(launch: &mut Launch<'_>, controller: &str) -> bool {
    let all = launch.flags.get("controllers").unwrap_or_default().to_owned();
    let (gone, left): (Vec<&str>, Vec<&str>) = all.split(',').partition(|name| *name == controller);
    if gone.is_empty() {
        return false;
    }
    let left = match left.as_slice() {
        // An empty list would mean the default: nearly all.
        [] => format!("-{controller}"),
        left => left.join(","),
    };
    launch.flags.set("controllers", left);
    true
}

/// The log of the replaced component: operators rely on some of its lines.
#[derive(Clone, Debug)]
pub(super) struct Log(PathBuf);

impl Log {
    pub(super) fn of(launch: &Launch<'_>) -> Self {
        Self(launch.log.to_owned())
    }

    #[cfg(test)]
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Writes a line in klog's format.
    pub(super) fn line(&self, text: &str) {
        let now = Timestamp::now().strftime("%m%d %H:%M:%S%.6f");
        let line = format!("I{now} {:>7} tlsboot] {text}\n", std::process::id());
        // Whole lines, appended, like the component's own.
        if let Err(error) =
            File::options().append(true).create(true).open(&self.0).and_then(|mut file| file.write_all(line.as_bytes()))
        {
            tracing::warn!(path = %self.0.display(), %error, "a stand-in's log line is lost");
        }
    }
}
