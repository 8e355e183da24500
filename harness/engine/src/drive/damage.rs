//! Changes to a kubelet's files, as disks, administrators and bugs make them (catalogue K-16, T-16).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Done, DriveError, Stage};
use crate::cluster::ClusterError;
use crate::cluster::shared::file::write_private;
use crate::pki::PrivateKey;
use tlsboot_core::scenario::is_file_name;
use tlsboot_core::scenario::stimulus::damage::{Damage, DamageAction};
use tlsboot_core::scenario::stimulus::replace_serving_pair::ReplaceServingPair;
pub(super) async fn damage(change: &Damage, stage: &Stage<'_>) -> Result<Done, DriveError> {
    if !is_file_name(&change.file) {
        return Err(DriveError::Nothing(format!("{:?} is not a file name", change.file)));
    }
    let dir = stage.cluster.nodes().dir(&change.node).await?;
    // The name itself, and what it points to if it is a link.
    let (path, content) = (dir.named(&change.file), dir.through(&change.file));
    let file = || ClusterError::file(&path);
    let proof = match change.action {
        DamageAction::Delete => {
            fs::remove_file(&path).map_err(file())?;
            let gone = fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if !gone {
                return Err(DriveError::Nothing(format!("{} still exists", change.file)));
            }
            format!("{} no longer exists", change.file)
        }
        DamageAction::Truncate => {
            let half = fs::metadata(&content).map_err(file())?.len() / 2;
            fs::File::options().write(true).open(&content).and_then(|opened| opened.set_len(half)).map_err(file())?;
            sized(&content)?
        }
        DamageAction::Empty => {
            fs::File::options().write(true).open(&content).and_then(|opened| opened.set_len(0)).map_err(file())?;
            sized(&content)?
        }
        DamageAction::Corrupt => {
            fs::write(&content, GARBAGE).map_err(file())?;
            sized(&content)?
        }
        DamageAction::ReplaceLink => {
            let bytes = fs::read(&content).map_err(file())?;
            fs::remove_file(&path).map_err(file())?;
            fs::write(&path, bytes).map_err(file())?;
            kind(&path)?
        }
        DamageAction::BreakLink => {
            fs::remove_file(&path).map_err(file())?;
            symlink(path.with_file_name("nowhere.pem"), &path).map_err(file())?;
            kind(&path)?
        }
        DamageAction::RemoveKey => without(&content, |label| label.ends_with("PRIVATE KEY"))?,
        DamageAction::RemoveCertificate => without(&content, |label| label == "CERTIFICATE")?,
        DamageAction::ReplaceKey => {
            let text = fs::read_to_string(&content).map_err(file())?;
            let key_begins = text.find("-----BEGIN EC PRIVATE KEY").unwrap_or(text.len());
            let foreign = PrivateKey::generate()?;
            fs::write(&content, format!("{}{}", &text[..key_begins], foreign.pem().expose())).map_err(file())?;
            sized(&content)?
        }
    };
    Ok(Done::proven(proof))
}

pub(super) async fn replace_pair(replace: &ReplaceServingPair, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let path = stage.cluster.nodes().dir(&replace.node).await?.named(ReplaceServingPair::CERTIFICATE);
    let pair = stage.cluster.base().serving_pair(replace).await?;
    // The kubelet loads a pair only if both files match, and checks again when either changes.
    write_private(&path.with_extension("key"), pair.key.expose())?;
    write_private(&path, &pair.certificate)?;
    Ok(Done::proven(sized(&path)?))
}

/// Takes some of the PEM blocks out of a file, by their labels.
fn without(path: &Path, is_taken: impl Fn(&str) -> bool) -> Result<String, DriveError> {
    let text = fs::read_to_string(path).map_err(ClusterError::file(path))?;
    let label = |line: &str, word: &str| {
        Some(line.trim().strip_prefix("-----")?.strip_prefix(word)?.strip_suffix("-----")?.trim().to_owned())
    };
    let (mut kept, mut taken) = (String::new(), false);
    let mut found = 0;
    for line in text.lines() {
        if label(line, "BEGIN").is_some_and(|label| is_taken(&label)) {
            (taken, found) = (true, found + 1);
        }
        if !taken {
            kept.push_str(line);
            kept.push('\n');
        }
        taken &= label(line, "END").is_none();
    }
    if found == 0 {
        return Err(DriveError::Nothing(format!("{} has no such block", path.display())));
    }
    fs::write(path, kept).map_err(ClusterError::file(path))?;
    sized(path)
}

const GARBAGE: &str = "this is neither PEM nor YAML: {[\n";

fn sized(path: &Path) -> Result<String, DriveError> {
    Ok(format!("{} bytes are left", fs::metadata(path)?.len()))
}

fn kind(path: &Path) -> Result<String, DriveError> {
    let kind = fs::symlink_metadata(path)?.file_type();
    let kind = match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_file() => "a regular file",
        () if kind.is_dir() => "a directory",
        () => "a special file",
    };
    Ok(format!("it is now {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_out_by_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pair.pem");
        let block = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        let (certificate, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
        for (label, left) in [("CERTIFICATE", &key), ("EC PRIVATE KEY", &certificate)] {
            fs::write(&path, format!("{certificate}{key}")).unwrap();
            without(&path, |found| found == label).unwrap();
            assert_eq!(&fs::read_to_string(&path).unwrap(), left);
            assert!(without(&path, |found| found == label).is_err(), "it is gone");
        }
    }
}
