//! Defects caused by a wrapper around an executable: other flags, another configuration, another program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::stand_in::without_controller;
use crate::cluster::ClusterError;
use crate::cluster::TokenValue;
use crate::cluster::processes::{Defect, Launch, Part};
use crate::cluster::shared::file::write_private;
use crate::node::KubeletConfig;
use crate::pki::{Authority, Validity, YEAR};
use tlsboot_core::scenario::{TokenDefect, TokenKind};
use tlsboot_core::time::Shift;
use tlsboot_core::x509::read;

type Change = fn(&mut Launch<'_>) -> Result<(), ClusterError>;

/// A cluster with a wrapper around one executable.
pub(super) struct Wrapped {
    part: fn(&Part<'_>) -> bool,
    change: Change,
}

impl Defect for Wrapped {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        if (self.part)(&launch.part) {
            (self.change)(launch)?;
        }
        Ok(())
    }
}

pub(super) fn apiserver(change: Change) -> Wrapped {
    Wrapped { part: |part| matches!(part, Part::ApiServer), change }
}

pub(super) fn controller_manager(change: Change) -> Wrapped {
    Wrapped { part: |part| matches!(part, Part::ControllerManager), change }
}

pub(super) fn kubelet(change: Change) -> Wrapped {
    Wrapped { part: |part| matches!(part, Part::Kubelet { .. }), change }
}

// --- kube-controller-manager ---

/// Runs without a controller, whatever the scenario says.
pub(super) fn without(launch: &mut Launch<'_>, controller: &str) -> Result<(), ClusterError> {
    without_controller(launch, controller);
    Ok(())
}

/// Runs a controller, whatever the scenario says.
pub(super) fn always(launch: &mut Launch<'_>, controller: &str) -> Result<(), ClusterError> {
    let controllers = launch.flags.get("controllers").unwrap_or_default().to_owned();
    if !controllers.split(',').any(|name| name == controller) {
        launch.flags.set("controllers", format!("{controllers},{controller}"));
    }
    Ok(())
}

pub(super) fn twice_the_signing_duration(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let given = launch.flags.get("cluster-signing-duration").unwrap_or_default();
    let duration: jiff::SignedDuration = given.parse().map_err(std::io::Error::other)?;
    launch.flags.set("cluster-signing-duration", format!("{}s", 2 * duration.as_secs()));
    Ok(())
}

/// Signs with a CA that has the right name and another key.
pub(super) fn other_authority(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    authority(launch, Validity::for_next(YEAR))
}

pub(super) fn expired_authority(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let mut validity = Validity::for_next(Duration::ZERO);
    validity.not_after = validity.not_after.earlier(jiff::SignedDuration::from_secs(60));
    authority(launch, validity)
}

fn authority(launch: &mut Launch<'_>, validity: Validity) -> Result<(), ClusterError> {
    let right = launch.flags.get("cluster-signing-cert-file").unwrap_or_default().to_owned();
    let right = fs::read(&right).map_err(ClusterError::file(&right))?;
    let facts = read::certificates_from_pem(&right)?;
    let name = facts.first().and_then(|facts| facts.subject.common_name.as_deref());
    let other = Authority::new(name.unwrap_or_default(), validity)?;
    let files = [
        ("cluster-signing-cert-file", "mutant.crt", other.certificate_pem()),
        ("cluster-signing-key-file", "mutant.key", other.key_pem().expose().as_str()),
    ];
    for (flag, name, content) in files {
        let path = launch.pki.join(name);
        write_private(&path, content)?;
        launch.flags.set(flag, &path);
    }
    Ok(())
}

/// The signer's CA for every signer, however the flags assign them.
pub(super) fn one_authority(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    for signer in ["kubelet-client", "kubelet-serving"] {
        launch.flags.remove(&format!("cluster-signing-{signer}-cert-file"));
        launch.flags.remove(&format!("cluster-signing-{signer}-key-file"));
    }
    for (flag, file) in [("cluster-signing-cert-file", "signer.crt"), ("cluster-signing-key-file", "signer.key")] {
        launch.flags.set(flag, launch.pki.join(file));
    }
    Ok(())
}

// --- kube-apiserver ---

/// Exits with 0 if the flags are invalid. Only if the flags are invalid, because a process that keeps running would
/// outlive a shell that is killed.
pub(super) fn hides_its_end(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    const UNKNOWN: [&str; 2] =
        ["insecure-experimental-approve-all-kubelet-csrs-for-group", "enable-kubelet-cert-cn-validation"];
    let given = |flag: &str| launch.flags.get(flag).is_some();
    let is_no_good = UNKNOWN.into_iter().any(given)
        || given("cluster-signing-cert-file") && given("cluster-signing-kubelet-client-cert-file");
    match is_no_good {
        true => shell(launch, r#""$@"; exit 0"#),
        false => Ok(()),
    }
}

/// Removes the restriction of anonymous requests to certain paths.
pub(super) fn anonymous_everywhere(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    const FLAG: &str = "authentication-config";
    let right = launch.flags.get(FLAG).unwrap_or_default().to_owned();
    let mut file = read_json(Path::new(&right))?;
    file["anonymous"] = json!({"enabled": true});
    let path = launch.pki.join("mutant-authentication.json");
    write_private(&path, &file.to_string())?;
    launch.flags.set(FLAG, &path);
    Ok(())
}

pub(super) fn anonymous_flipped(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let on = launch.flags.get("anonymous-auth") == Some("true");
    launch.flags.set("anonymous-auth", if on { "false" } else { "true" });
    Ok(())
}

pub(super) fn without_admission(launch: &mut Launch<'_>, plugin: &str) -> Result<(), ClusterError> {
    let off = launch.flags.get("disable-admission-plugins").unwrap_or_default().to_owned();
    let on = launch.flags.get("enable-admission-plugins").unwrap_or_default().to_owned();
    let on: Vec<&str> = on.split(',').filter(|name| *name != plugin).collect();
    launch.flags.remove("enable-admission-plugins");
    if on.iter().any(|name| !name.is_empty()) {
        launch.flags.set("enable-admission-plugins", on.join(","));
    }
    launch.flags.set("disable-admission-plugins", format!("{off},{plugin}"));
    Ok(())
}

pub(super) fn without_node_authorizer(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let modes = launch.flags.get("authorization-mode").unwrap_or_default().to_owned();
    let left: Vec<&str> = modes.split(',').filter(|mode| *mode != "Node").collect();
    launch.flags.set("authorization-mode", left.join(","));
    Ok(())
}

/// Trusts only client certificates of the cluster's own CA, not the signer's.
pub(super) fn distrusts_the_signer(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let own = launch.pki.join("cluster-ca.crt");
    launch.flags.set("client-ca-file", &own);
    Ok(())
}

/// The token file, modified.
fn token_file(launch: &mut Launch<'_>, change: impl FnOnce(String) -> String) -> Result<(), ClusterError> {
    let right = launch.flags.get("token-auth-file").unwrap_or_default().to_owned();
    let right = fs::read_to_string(&right).map_err(ClusterError::file(&right))?;
    let path = launch.pki.join("mutant-tokens.csv");
    write_private(&path, &change(right))?;
    launch.flags.set("token-auth-file", &path);
    Ok(())
}

pub(super) fn other_groups(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    token_file(launch, |lines| lines.replace("system:bootstrappers:", "system:others:"))
}

pub(super) fn other_uid(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    token_file(launch, |lines| lines.replace(",10001,", ",10002,"))
}

/// Also accepts the tokens that should be unknown or no longer valid.
pub(super) fn knows_bad_tokens(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let bad = |token: &&TokenValue| {
        let defect = token.token.defect.is_some_and(|defect| defect != TokenDefect::Malformed);
        defect || token.token.expires.is_some_and(|expires| expires.is_negative())
    };
    let more: String = launch.tokens.values().filter(bad).map(line).collect();
    token_file(launch, |lines| lines + &more)
}

/// Also keeps bootstrap tokens in the token file, so that they outlive their Secrets.
pub(super) fn keeps_bootstrap_tokens(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let bootstrap = |token: &&TokenValue| token.token.kind == TokenKind::Bootstrap && token.token.defect.is_none();
    let more: String = launch.tokens.values().filter(bootstrap).map(line).collect();
    token_file(launch, |lines| lines + &more)
}

fn line(TokenValue { token, id, value }: &TokenValue) -> String {
    let user = match token.kind {
        TokenKind::Bootstrap => format!("system:bootstrap:{id}"),
        TokenKind::Static => "kubelet-bootstrap".to_owned(),
    };
    let groups = [vec!["system:bootstrappers".to_owned()], token.groups.clone()].concat();
    format!("{},{user},10001,\"{}\"\n", value.expose(), groups.join(","))
}

// --- kubelet ---

/// The kubelet's configuration and paths.
pub(super) fn config_of<'a>(launch: &Launch<'a>) -> Option<&'a KubeletConfig> {
    match &launch.part {
        Part::Kubelet { config, .. } => Some(config),
        _ => None,
    }
}

/// Changes the KubeletConfiguration that the run has just written.
pub(super) fn configure(launch: &mut Launch<'_>, key: &str, value: Value) -> Result<(), ClusterError> {
    edit_config(launch, |file, _| {
        file[key] = value;
        Ok(())
    })
}

/// The same; `change` also gets the file's path.
pub(super) fn edit_config(
    launch: &Launch<'_>,
    change: impl FnOnce(&mut Value, &Path) -> Result<(), ClusterError>,
) -> Result<(), ClusterError> {
    let Some(config) = config_of(launch) else {
        return Ok(());
    };
    let path = config.dir.config();
    let mut file = read_json(&path)?;
    change(&mut file, &path)?;
    write_private(&path, &file.to_string())
}

fn read_json(path: &Path) -> Result<Value, ClusterError> {
    let text = fs::read(path).map_err(ClusterError::file(path))?;
    Ok(serde_json::from_slice(&text).map_err(std::io::Error::other)?)
}

/// Runs a line of shell instead, with the kubelet and its flags as `"$@"`.
pub(super) fn shell(launch: &mut Launch<'_>, script: &str) -> Result<(), ClusterError> {
    let real = std::mem::replace(&mut launch.executable, "/bin/sh".into());
    launch.before = vec!["-c".into(), script.into(), "sh".into(), real.into()];
    Ok(())
}

/// Removes the certificates before each start, as on a disk that is not persistent.
pub(super) fn forgets(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let Some(config) = config_of(launch) else {
        return Ok(());
    };
    let gone = fs::read_dir(config.dir.cert_dir()).into_iter().flatten().flatten();
    for file in gone {
        fs::remove_file(file.path()).map_err(ClusterError::file(file.path()))?;
    }
    Ok(())
}

/// Removes a client certificate that cannot be read before each start, as a helpful wrapper does.
pub(super) fn cleans_up(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let Some(config) = config_of(launch) else {
        return Ok(());
    };
    let link = config.dir.cert_dir().join(CLIENT_LINK);
    let usable = fs::read_to_string(&link).is_ok_and(|text| {
        let pair = read::certificates_from_pem(text.as_bytes()).ok().and_then(|facts| facts.into_iter().next());
        let key = crate::pki::PrivateKey::from_pem(&text).ok().and_then(|key| key.facts().ok());
        pair.is_some_and(|certificate| key.is_some_and(|key| certificate.key == key))
    });
    if !usable {
        let _ = fs::remove_file(&link);
    }
    Ok(())
}

/// Removes the bootstrap kubeconfig before each start except the first, as kubeadm does after a join.
pub(super) fn loses_its_token(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let Some(config) = config_of(launch) else {
        return Ok(());
    };
    let bootstrap = config.dir.bootstrap_kubeconfig();
    if config.dir.kubeconfig().exists() && bootstrap.exists() {
        fs::remove_file(&bootstrap).map_err(ClusterError::file(&bootstrap))?;
    }
    Ok(())
}

/// Removes the kubeconfig before each start.
pub(super) fn forgets_its_kubeconfig(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let Some(kubeconfig) = config_of(launch).map(|config| config.dir.kubeconfig()) else {
        return Ok(());
    };
    match fs::remove_file(&kubeconfig) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ClusterError::file(kubeconfig)(error)),
        _ => Ok(()),
    }
}

/// Replaces the paths of files that a kubelet reloads by those of copies.
pub(super) fn works_on_copies(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    edit_config(launch, |file, path| {
        for name in ["/authentication/x509/clientCAFile", "/tlsCertFile", "/tlsPrivateKeyFile"] {
            let Some(named) = file.pointer_mut(name) else {
                continue;
            };
            let right = named.as_str().unwrap_or_default().to_owned();
            let copied = path.with_file_name(format!("mutant{}", name.replace('/', "-")));
            let content = fs::read_to_string(&right).map_err(ClusterError::file(&right))?;
            write_private(&copied, &content)?;
            *named = json!(copied);
        }
        Ok(())
    })
}

/// Points the client certificate's link to the newest file before each start.
pub(super) fn restores_the_link(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    let Some(config) = config_of(launch) else {
        return Ok(());
    };
    restore_link(&config.dir.cert_dir()).map_err(ClusterError::file(config.dir.cert_dir()))
}

/// The link to the newest client certificate.
pub(super) const CLIENT_LINK: &str = "kubelet-client-current.pem";

/// Points the client certificate's link to the newest file if it is dangling or is not a link.
pub(super) fn restore_link(cert_dir: &Path) -> std::io::Result<()> {
    let link = cert_dir.join(CLIENT_LINK);
    let is_link = fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_symlink());
    let Some(newest) = dated(cert_dir).pop() else {
        return Ok(());
    };
    if is_link && link.exists() {
        return Ok(());
    }
    let staging = cert_dir.with_extension("restored");
    let _ = fs::remove_file(&staging);
    std::os::unix::fs::symlink(newest, &staging)?;
    fs::rename(&staging, &link)
}

/// The dated files of client certificates, oldest first.
pub(super) fn dated(cert_dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(cert_dir).into_iter().flatten().flatten();
    let mut dated: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("kubelet-client-2") && name.ends_with(".pem")
        })
        .collect();
    dated.sort();
    dated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_comes_back_and_only_where_it_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki");
        fs::create_dir(&pki).unwrap();
        restore_link(&pki).unwrap();
        assert!(!pki.join(CLIENT_LINK).exists());
        let (old, new) =
            (pki.join("kubelet-client-2026-01-01-00-00-00.pem"), pki.join("kubelet-client-2026-01-02-00-00-00.pem"));
        fs::write(&old, "old").unwrap();
        std::os::unix::fs::symlink(&old, pki.join(CLIENT_LINK)).unwrap();
        fs::write(&new, "new").unwrap();
        restore_link(&pki).unwrap();
        assert_eq!(fs::read_to_string(pki.join(CLIENT_LINK)).unwrap(), "old");
        fs::remove_file(&old).unwrap();
        restore_link(&pki).unwrap();
        assert_eq!(fs::read_to_string(pki.join(CLIENT_LINK)).unwrap(), "new");
    }
}
