//! Finding and reading kubeconfigs, and the files that they name. Each may be anything: a device, a pipe, another
//! user's file.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::SecretString;

use super::chain;
use tlsboot_engine::untrusted;

/// The largest kubeconfig, in bytes: thousands of clusters.
const LARGEST: u64 = 16 << 20;
/// The largest file that it names: certificates, keys and tokens have a few thousand bytes.
const LARGEST_PART: u64 = 1 << 20;

/// Where the kubeconfig comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file that was named.
    File(PathBuf),
    /// The files of `KUBECONFIG`; missing ones are left out.
    Environment(Vec<PathBuf>),
    /// `~/.kube/config`.
    Home(PathBuf),
    /// There is none: the service account of the pod in which this runs.
    Pod,
}

impl Source {
    /// Looks for it as kubectl does: the named file, `KUBECONFIG`, `~/.kube/config`, the pod's service account. `None`
    /// if there is nothing.
    pub(super) fn find(named: Option<&Path>) -> Option<Self> {
        if let Some(path) = named {
            return Some(Self::File(path.to_owned()));
        }
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
        let is_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        Self::among(env::var_os("KUBECONFIG").as_deref(), home, is_pod)
    }

    fn among(kubeconfig: Option<&OsStr>, home: Option<PathBuf>, is_pod: bool) -> Option<Self> {
        let listed: Vec<PathBuf> = kubeconfig
            .map(|list| env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default();
        if !listed.is_empty() {
            return Some(Self::Environment(listed));
        }
        match home.filter(|path| path.exists()) {
            Some(path) => Some(Self::Home(path)),
            None => is_pod.then_some(Self::Pod),
        }
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Home(path) => path.clone(),
            Self::Environment(paths) => env::join_paths(paths).unwrap_or_default().into(),
            Self::Pod => "of this pod".into(),
        }
    }

    /// Reads it.
    pub(super) fn read(&self) -> Result<Kubeconfig, String> {
        match self {
            Self::File(path) | Self::Home(path) => read(path),
            Self::Environment(paths) => {
                let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
                if there.is_empty() {
                    return Err("none of the files that KUBECONFIG names exists".into());
                }
                there.into_iter().try_fold(Kubeconfig::default(), |all, path| {
                    let next = read(path).map_err(|reason| format!("{}: {reason}", path.display()))?;
                    all.merge(next).map_err(|error| chain(&error))
                })
            }
            Self::Pod => Ok(Kubeconfig::default()),
        }
    }
}

fn read(path: &Path) -> Result<Kubeconfig, String> {
    let text = untrusted::read_text(path, LARGEST).map_err(|error| error.to_string())?;
    let mut kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| chain(&error))?;
    let folder = std::path::absolute(path).map_err(|error| error.to_string())?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        relative_to(folder, &mut cluster.certificate_authority);
    }
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        for file in [&mut user.client_certificate, &mut user.client_key, &mut user.token_file] {
            relative_to(folder, file);
        }
        // A bare name is looked up on the PATH.
        if let Some(exec) = user.exec.as_mut().filter(|exec| exec.command.as_ref().is_some_and(|it| it.contains('/'))) {
            relative_to(folder, &mut exec.command);
        }
    }
    Ok(kubeconfig)
}

/// Paths in a kubeconfig are relative to its own folder.
fn relative_to(folder: &Path, file: &mut Option<String>) {
    if let Some(path) = file.as_mut().filter(|path| !path.is_empty()) {
        *path = folder.join(&*path).display().to_string();
    }
}

/// Embeds the CA file that a cluster names.
pub(super) fn take_authority(cluster: &mut Cluster) -> Result<(), String> {
    if cluster.certificate_authority_data.as_ref().is_none_or(String::is_empty)
        && let Some(file) = cluster.certificate_authority.take().filter(|file| !file.is_empty())
    {
        cluster.certificate_authority_data = Some(STANDARD.encode(part("certificate-authority", &file)?));
    }
    Ok(())
}

/// Embeds the files that a user names: afterwards no file is read any more, and none without a size limit.
pub(super) fn take_files(user: &mut AuthInfo) -> Result<(), String> {
    if user.client_certificate_data.as_ref().is_none_or(String::is_empty)
        && let Some(file) = user.client_certificate.take().filter(|file| !file.is_empty())
    {
        user.client_certificate_data = Some(STANDARD.encode(part("client-certificate", &file)?));
    }
    if user.client_key_data.is_none()
        && let Some(file) = user.client_key.take().filter(|file| !file.is_empty())
    {
        user.client_key_data = Some(SecretString::from(STANDARD.encode(part("client-key", &file)?)));
    }
    if user.token.is_none()
        && let Some(file) = user.token_file.take().filter(|file| !file.is_empty())
    {
        let token = String::from_utf8(part("tokenFile", &file)?);
        let token = token.map_err(|_| format!("its tokenFile {file}: it is not UTF-8"))?;
        user.token = Some(SecretString::from(token.trim().to_owned()));
    }
    Ok(())
}

/// A file that the kubeconfig names. It may be a link, such as kubelet-client-current.pem; its target must be a regular
/// file of bounded length, or a pipe with a writer.
fn part(field: &str, file: &str) -> Result<Vec<u8>, String> {
    untrusted::read(Path::new(file), LARGEST_PART).map_err(|error| format!("its {field} {file}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn it_is_looked_for_as_kubectl_does() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("config");
        fs::write(&there, "").unwrap();
        let missing = Some(folder.path().join("missing"));
        let listed = Source::Environment(vec!["a".into(), "b".into()]);
        assert_eq!(Source::among(Some("a:b".as_ref()), Some(there.clone()), true), Some(listed));
        assert_eq!(Source::among(Some("".as_ref()), Some(there.clone()), true), Some(Source::Home(there.clone())));
        assert_eq!(Source::among(None, missing.clone(), true), Some(Source::Pod));
        assert_eq!(Source::among(None, missing, false), None);
    }

    #[test]
    fn several_files_are_one_kubeconfig_and_the_first_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "{current-context: x, contexts: [{name: x, context: {cluster: c}}]}").unwrap();
        fs::write(&b, "{current-context: y, contexts: [{name: y, context: {cluster: c}}]}").unwrap();
        let source = Source::Environment(vec![a, folder.path().join("missing"), b]);
        let read = source.read().unwrap();
        assert_eq!(read.current_context.as_deref(), Some("x"));
        assert_eq!(read.contexts.len(), 2);
        let nothing = Source::Environment(vec![folder.path().join("missing")]);
        assert!(nothing.read().unwrap_err().contains("none of the files"));
    }

    #[test]
    fn files_are_relative_to_the_kubeconfig_and_taken_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(folder.path().join("token"), "abc\n").unwrap();
        fs::write(&path, "users: [{name: u, user: {tokenFile: token, exec: {command: ./x}}}]").unwrap();
        let mut read = read(&path).unwrap();
        let user = read.auth_infos[0].auth_info.as_mut().unwrap();
        take_files(user).unwrap();
        assert_eq!(user.token.as_ref().unwrap().expose_secret(), "abc");
        assert_eq!(user.token_file, None);
        assert!(user.exec.as_ref().unwrap().command.as_ref().unwrap().starts_with(folder.path().to_str().unwrap()));
    }

    #[rstest]
    #[case::device("/dev/zero", "not a regular file")]
    #[case::folder("/", "not a regular file")]
    #[case::missing("/nowhere/x", "No such file")]
    fn odd_files_are_named_and_not_read(#[case] file: &str, #[case] words: &str) {
        let fields: [fn(&mut AuthInfo) -> &mut Option<String>; 3] =
            [|user| &mut user.client_certificate, |user| &mut user.client_key, |user| &mut user.token_file];
        for field in fields {
            let mut user = AuthInfo::default();
            *field(&mut user) = Some(file.to_owned());
            let said = take_files(&mut user).unwrap_err();
            assert!(said.contains(file) && said.contains(words), "{said}");
        }
        let mut cluster = Cluster { certificate_authority: Some(file.to_owned()), ..Default::default() };
        assert!(take_authority(&mut cluster).unwrap_err().contains(words));
    }
}
