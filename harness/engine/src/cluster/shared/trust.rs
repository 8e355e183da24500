//! The keys of a cluster that tlsboot starts: one CA for the control plane or, as in k3s, one for servers and one for
//! clients; and optionally another one that the controller-manager signs with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;

use super::file::write_private;
use super::settings::Signer;
use crate::cluster::{ClusterError, Credential};
use crate::pki::{Authority, Issued, PrivateKey, RequestBuilder, SignOptions, Validity, YEAR};
use crate::secret::Vault;
use crate::untrusted;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{NODE_USER_PREFIX, NODES_GROUP, Signing};
use tlsboot_core::history::facts::Name;
use tlsboot_core::time::Shift;
use tlsboot_core::x509::{AltName, read};

/// The attribute that API servers read a user's uid from (`k8s.io/apiserver/pkg/authentication/request/x509`, catalogue N-07).
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// The folder of the keys, in the flags of scenarios.
pub(crate) const PKI: &str = "{pki}";
/// The user as whom an API server goes to kubelets, as kubeadm calls it.
pub(crate) const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// What is wrong with a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It expired an hour ago.
    Expired,
    /// Its CA is not the cluster's.
    ForeignCa,
}

/// The cluster's keys, and their paths.
pub(crate) struct Trust {
    dir: PathBuf,
    /// The CA of the API server's certificate.
    cluster: Authority,
    /// The CA of clients' certificates, if that is another one.
    clients: Option<Authority>,
    signers: Vec<Authority>,
    vault: Vault,
}

impl Trust {
    /// Creates the CAs and writes them below `dir`. With `signer_valid` the signer has its own CA, valid for this long;
    /// otherwise the control plane's CA signs.
    pub(crate) fn create(dir: PathBuf, signer_valid: Option<Duration>, vault: Vault) -> Result<Self, ClusterError> {
        fs::create_dir_all(&dir).map_err(ClusterError::file(&dir))?;
        let cluster = Authority::new("tlsboot-cluster-ca", Validity::for_next(YEAR))?;
        let signer =
            signer_valid.map(|valid| Authority::new("tlsboot-signer-ca-1", Validity::for_next(valid))).transpose()?;
        let trust = Self { dir, cluster, clients: None, signers: signer.into_iter().collect(), vault };
        trust.write("cluster-ca.crt", trust.cluster.certificate_pem())?;
        trust.write_signer()?;
        Ok(trust)
    }

    /// Takes over the CAs of a control plane that has created its own: one that signs for servers, one for clients.
    /// Writes their certificates below `dir`.
    #[cfg(feature = "docker")]
    pub(crate) fn adopt(
        dir: PathBuf,
        servers: Authority,
        clients: Authority,
        vault: Vault,
    ) -> Result<Self, ClusterError> {
        fs::create_dir_all(&dir).map_err(ClusterError::file(&dir))?;
        for authority in [&servers, &clients] {
            vault.register(authority.key_pem().expose());
        }
        let trust = Self { dir, cluster: servers, clients: Some(clients), signers: Vec::new(), vault };
        trust.write("cluster-ca.crt", trust.cluster.certificate_pem())?;
        trust.write("client-ca.crt", trust.clients().certificate_pem())?;
        Ok(trust)
    }

    /// Writes what an API server needs and nothing else creates.
    pub(crate) fn write_api_server(&self) -> Result<(), ClusterError> {
        let names =
            [AltName::Ip([127, 0, 0, 1].into()), AltName::Dns("localhost".into()), AltName::Dns("kubernetes".into())];
        self.write_pair("apiserver", &self.cluster.issue_server("kube-apiserver", &names, Validity::for_next(YEAR))?)?;
        let accounts = PrivateKey::generate()?;
        self.write("sa.key", accounts.pem().expose())
    }

    /// The bundle of CAs by which the API server verifies kubelets, in the folder of the keys: that of pairs from files, and
    /// those that sign CSRs.
    pub(crate) const KUBELET_CA: &'static str = "kubelet-ca.crt";

    /// Writes what an API server needs to be a client of kubelets, and what it may be given instead: pairs that a kubelet is
    /// to refuse, and a CA that has signed nothing.
    pub(crate) fn write_kubelet_clients(&self) -> Result<(), ClusterError> {
        self.replace_kubelet_client(KUBELET_CLIENT)?;
        self.write("foreign-ca.crt", foreign()?.certificate_pem())?;
        for (name, flaw) in [("expired-client", Flaw::Expired), ("foreign-client", Flaw::ForeignCa)] {
            let Credential { certificate, key } = self.flawed_client(KUBELET_CLIENT, &[], flaw)?;
            self.write(&format!("{name}.key"), key.expose())?;
            self.write(&format!("{name}.crt"), &certificate)?;
        }
        Ok(())
    }

    /// Writes the pair with which the API server goes to kubelets, for this user.
    pub(crate) fn replace_kubelet_client(&self, user: &str) -> Result<(), ClusterError> {
        self.write_pair("kubelet-client", &self.clients().issue_client(user, &[], Validity::for_next(YEAR))?)
    }

    /// Writes CAs that nothing uses unless a scenario's flags say so: `serving-ca`, which the API server does not trust, and
    /// `intermediate-ca`, below the control plane's.
    pub(crate) fn write_further_signers(&self) -> Result<(), ClusterError> {
        let serving = Authority::new("tlsboot-serving-ca", Validity::for_next(YEAR))?;
        self.write("serving-ca.key", serving.key_pem().expose())?;
        self.write("serving-ca.crt", serving.certificate_pem())?;
        let subject = Name { common_name: Some("tlsboot-intermediate-ca".into()), ..Name::default() };
        let (request, key) = RequestBuilder::new(subject).build()?;
        let usages = ["digital signature", "key encipherment", "cert sign"];
        let options = SignOptions { ca: true, ..SignOptions::new(Validity::for_next(YEAR), &usages) };
        self.write("intermediate-ca.key", key.expose())?;
        self.write("intermediate-ca.crt", &self.cluster.sign_request(&request, &options)?)
    }

    /// Writes the control plane's CA with its key, for a tool that creates the rest from it.
    pub(crate) fn write_authority(&self) -> Result<(), ClusterError> {
        self.write("cluster-ca.key", self.cluster.key_pem().expose())
    }

    /// Whether the signer has its own CA.
    pub(crate) fn has_own_signer(&self) -> bool {
        !self.signers.is_empty()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn cluster_ca(&self) -> &str {
        self.cluster.certificate_pem()
    }

    /// A client certificate of the control plane's CA.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Credential, ClusterError> {
        self.issue(self.clients(), user, groups, Validity::for_next(YEAR))
    }

    /// A client certificate that an API server must refuse.
    pub(crate) fn flawed_client(&self, user: &str, groups: &[&str], flaw: Flaw) -> Result<Credential, ClusterError> {
        match flaw {
            Flaw::ForeignCa => self.issue(&foreign()?, user, groups, Validity::for_next(YEAR)),
            Flaw::Expired => self.issue(self.clients(), user, groups, expired()),
        }
    }

    /// A client certificate with a uid in its subject.
    pub(crate) fn client_with_uid(&self, user: &str, uid: &str) -> Result<Credential, ClusterError> {
        let subject = Name {
            common_name: Some(user.to_owned()),
            organizations: Vec::new(),
            other: vec![format!("{UID_ATTRIBUTE}={uid}")],
        };
        let issued = self.clients().issue_client_named(&subject, Validity::for_next(YEAR))?;
        Ok(self.kept(issued))
    }

    /// A client certificate of the signer's CA for a node, as its kubelet would get it.
    pub(crate) fn node_client(&self, node: &str, validity: Validity) -> Result<Credential, ClusterError> {
        let user = format!("{NODE_USER_PREFIX}{node}");
        self.issue(self.signer(Role::Client), &user, &[NODES_GROUP], validity)
    }

    /// A serving certificate for a node, of the cluster's CA where nothing is wrong with it.
    pub(crate) fn serving_pair(
        &self,
        node: &str,
        names: &[AltName],
        flaw: Option<Flaw>,
    ) -> Result<Credential, ClusterError> {
        let issued = match flaw {
            None => self.cluster.issue_server(node, names, Validity::for_next(YEAR))?,
            Some(Flaw::Expired) => self.cluster.issue_server(node, names, expired())?,
            Some(Flaw::ForeignCa) => foreign()?.issue_server(node, names, Validity::for_next(YEAR))?,
        };
        Ok(self.kept(issued))
    }

    fn kept(&self, issued: Issued) -> Credential {
        self.vault.register(issued.key_pem.expose());
        Credential { certificate: issued.certificate_pem, key: issued.key_pem }
    }

    fn issue(
        &self,
        authority: &Authority,
        user: &str,
        groups: &[&str],
        validity: Validity,
    ) -> Result<Credential, ClusterError> {
        Ok(self.kept(authority.issue_client(user, groups, validity)?))
    }

    /// Signs with another CA from now on; the API server must trust all of them. Returns a client certificate of the
    /// new one.
    pub(crate) fn replace_signer(&mut self, valid: Duration) -> Result<Credential, ClusterError> {
        let name = format!("tlsboot-signer-ca-{}", self.signers.len() + 1);
        self.signers.push(Authority::new(&name, Validity::for_next(valid))?);
        self.write_signer()?;
        self.issue(self.signer(Role::Client), "tlsboot-probe", &[], Validity::for_next(YEAR))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn clients(&self) -> &Authority {
        self.clients.as_ref().unwrap_or(&self.cluster)
    }

    /// The CA that signs CSRs.
    fn signer(&self, role: Role) -> &Authority {
        let control_plane = match role {
            Role::Client => self.clients(),
            Role::Serving => &self.cluster,
        };
        self.signers.last().unwrap_or(control_plane)
    }

    /// What the signers do from now on, for the history.
    pub(crate) fn signing<'a>(
        &self,
        duration: SignedDuration,
        signer: impl Fn(Role) -> Signer<'a>,
    ) -> Result<Signing, ClusterError> {
        let mut signers = BTreeMap::new();
        for role in [Role::Client, Role::Serving] {
            let certificate = match signer(role) {
                Signer::Own => self.signer(role).certificate_pem().to_owned(),
                Signer::File(path) => self.certificate_in(path),
                Signer::Absent => continue,
            };
            let facts = read::certificates_from_pem(certificate.as_bytes()).unwrap_or_default();
            signers.extend(facts.into_iter().next().map(|facts| (role.signer_name().to_owned(), facts.der)));
        }
        Ok(Signing { duration_seconds: duration.as_secs(), signers })
    }

    /// The content of a file with a CA. A controller-manager does not start with one that cannot be read, and reports
    /// that itself.
    fn certificate_in(&self, path: &str) -> String {
        let path = path.replace(PKI, &self.dir.display().to_string());
        untrusted::read_text(Path::new(&path), untrusted::LONGEST).unwrap_or_default()
    }

    fn write_signer(&self) -> Result<(), ClusterError> {
        let bundle: String =
            std::iter::once(&self.cluster).chain(&self.signers).map(Authority::certificate_pem).collect();
        self.write("client-ca.crt", &bundle)?;
        self.write(Self::KUBELET_CA, &bundle)?;
        // The controller-manager reads both files as soon as one changes: the key is written first, so that they match
        // when it reads them.
        let signer = self.signer(Role::Client);
        self.write("signer.key", signer.key_pem().expose())?;
        self.write("signer.crt", signer.certificate_pem())
    }

    fn write_pair(&self, name: &str, issued: &Issued) -> Result<(), ClusterError> {
        self.write(&format!("{name}.key"), issued.key_pem.expose())?;
        self.write(&format!("{name}.crt"), &issued.certificate_pem)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), ClusterError> {
        if name.ends_with(".key") {
            self.vault.register(content);
        }
        write_private(&self.dir.join(name), content)
    }
}

/// A CA that the cluster does not know.
fn foreign() -> Result<Authority, ClusterError> {
    Ok(Authority::new("tlsboot-foreign-ca", Validity::for_next(YEAR))?)
}

/// From two hours ago to an hour ago.
fn expired() -> Validity {
    let now = jiff::Timestamp::now();
    let ago = |hours| now.earlier(SignedDuration::from_hours(hours));
    Validity { not_before: ago(2), not_after: ago(1) }
}

#[cfg(all(test, feature = "docker"))]
mod tests {
    use super::*;

    #[test]
    fn adopted_cas_sign_each_for_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let authority = |name| Authority::new(name, Validity::for_next(YEAR)).unwrap();
        let (servers, clients) = (authority("servers"), authority("clients"));
        let path = dir.path().to_owned();
        let trust = Trust::adopt(path, servers.clone(), clients, Vault::default()).unwrap();
        let issuer = |pem: &str| {
            let facts = read::certificates_from_pem(pem.as_bytes()).unwrap();
            facts[0].issuer.common_name.clone().unwrap()
        };
        assert_eq!(trust.cluster_ca(), servers.certificate_pem());
        let admin = trust.client("admin", &[]).unwrap();
        let node = trust.node_client("n1", Validity::for_next(YEAR)).unwrap();
        let expired = trust.flawed_client("n1", &[], Flaw::Expired).unwrap();
        for client in [admin, node, expired] {
            assert_eq!(issuer(&client.certificate), "clients");
        }
        let serving = trust.serving_pair("n1", &[], None).unwrap();
        assert_eq!(issuer(&serving.certificate), "servers");
        let signers = trust.signing(SignedDuration::from_hours(1), |_| Signer::Own).unwrap().signers;
        let [client, server] = [Role::Client, Role::Serving].map(|role| &signers[role.signer_name()]);
        assert_ne!(client, server);
    }
}
