//! Changes of a kubelet's files, as disks, administrators and bugs make them (catalogue K-16, T-16).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Done, DriveError, Stage};
use crate::cluster::ClusterError;
use crate::cluster::shared::file::write_private;
use crate::pki::PrivateKey;
use tlsboot_core::scenario::is_file_name;
use tlsboot_core::scenario::stimulus::{FileAction, FileChange};

pub(super) async fn change(change: &FileChange, stage: &Stage<'_>) -> Result<Done, DriveError> {
    if !is_file_name(&change.name) {
        return Err(DriveError::Nothing(format!("{:?} is no name of a file", change.name)));
    }
    let dir = stage.cluster.nodes().dir(&change.node).await?;
    // The name itself, and what is behind it where that is a link.
    let (path, content) = (dir.named(&change.name), dir.through(&change.name));
    let file = || ClusterError::file(&path);
    let proof = match change.action {
        FileAction::Delete => {
            fs::remove_file(&path).map_err(file())?;
            let gone = fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if !gone {
                return Err(DriveError::Nothing(format!("{} is still there", change.name)));
            }
            format!("{} is not there any more", change.name)
        }
        FileAction::Truncate => {
            let half = fs::metadata(&content).map_err(file())?.len() / 2;
            fs::File::options().write(true).open(&content).and_then(|opened| opened.set_len(half)).map_err(file())?;
            sized(&content)?
        }
        FileAction::Empty => {
            fs::File::options().write(true).open(&content).and_then(|opened| opened.set_len(0)).map_err(file())?;
            sized(&content)?
        }
        FileAction::Garbage => {
            fs::write(&content, GARBAGE).map_err(file())?;
            sized(&content)?
        }
        FileAction::Plain => {
            let bytes = fs::read(&content).map_err(file())?;
            fs::remove_file(&path).map_err(file())?;
            fs::write(&path, bytes).map_err(file())?;
            kind(&path)?
        }
        FileAction::Dangle => {
            fs::remove_file(&path).map_err(file())?;
            symlink(path.with_file_name("nowhere.pem"), &path).map_err(file())?;
            kind(&path)?
        }
        FileAction::ForeignKey => {
            let text = fs::read_to_string(&content).map_err(file())?;
            let key_begins = text.find("-----BEGIN EC PRIVATE KEY").unwrap_or(text.len());
            let foreign = PrivateKey::generate()?;
            fs::write(&content, format!("{}{}", &text[..key_begins], foreign.pem().expose())).map_err(file())?;
            sized(&content)?
        }
        FileAction::NewPair => {
            let pair = stage.cluster.base().serving_pair(&change.node).await?;
            // The kubelet takes up a pair only when both fit, and looks again when either changes.
            write_private(&path.with_extension("key"), pair.key.expose())?;
            write_private(&path, &pair.certificate)?;
            sized(&path)?
        }
    };
    Ok(Done::proven(proof))
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
    Ok(format!("it is {kind} now"))
}
