//! What a diagnosis says.

use jiff::Timestamp;
use serde::Serialize;
use tlsboot_core::version::Version;

use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::{Reached, Right, TokenFacts};

/// What was found out about a cluster. None where it may not be looked at: not known is not none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// When the cluster was looked at.
    pub taken: Timestamp,
    /// The API server's URL.
    pub server: String,
    /// Its version.
    pub version: Option<Version>,
    /// Who is bound to the roles of bootstrapping.
    pub bindings: Option<Vec<BindingReport>>,
    /// Who approved or denied the CSRs that there are.
    pub approvers: Option<Vec<ApproverReport>>,
    /// What was signed.
    pub signers: Option<Vec<SignerReport>>,
    /// Bootstrap tokens.
    pub tokens: Option<Vec<TokenFacts>>,
    /// Nodes and their certificates.
    pub nodes: Option<Vec<NodeReport>>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What can't be known from here, and where to look instead.
    pub unknown: Vec<String>,
    /// Rights without which some of it could not be looked at.
    pub missing: Vec<Right>,
}

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A name that stays the same.
    pub id: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// How many nodes, tokens, CSRs or users it is about; one cause is one finding.
    pub count: usize,
    /// Their names, a hundred at most.
    pub about: Vec<String>,
    /// What is wrong and what follows from it.
    pub says: String,
    /// What fixes it: all of these, in this order. None where no command does.
    pub remedies: Vec<Remedy>,
    /// Where to look for more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub look: Vec<String>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// Good to know.
    Note,
    /// Nothing breaks because of it, but it should be looked at.
    Warning,
    /// A security hole: more is allowed than is safe.
    Hole,
    /// It is broken, or will be at the next bootstrap or rotation.
    Broken,
}

/// A binding of bootstrapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingReport {
    /// The ClusterRole.
    pub role: String,
    /// Who is bound.
    pub subject: String,
    /// The ClusterRoleBinding.
    pub binding: String,
}

/// Decisions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApproverReport {
    /// The signerName.
    pub signer: String,
    /// `Approved` or `Denied`.
    pub decision: String,
    /// The condition's reason.
    pub reason: String,
    /// Who decides with this reason.
    pub who: String,
    /// How many CSRs.
    pub csrs: usize,
}

/// What one CA signed for one signerName.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerReport {
    /// The signerName.
    pub signer: String,
    /// The issuer's common name.
    pub issuer: String,
    /// How many certificates.
    pub certificates: usize,
    /// The shortest time from NotBefore to NotAfter, in seconds.
    pub shortest: i64,
    /// The longest.
    pub longest: i64,
    /// The longest time from the CSR to NotAfter, in seconds: about `--cluster-signing-duration`, which can't be read.
    pub after_request: i64,
}

/// A node's certificates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// The kubelet's version, as it says.
    pub kubelet: String,
    /// The status of the condition Ready; none where it was never reported.
    pub ready: Option<String>,
    /// Its newest client certificate, where a CSR still shows it.
    pub client: Option<Life>,
    /// What it presents on its port.
    pub serving: Option<Life>,
    /// Why nothing is known of that.
    pub not_served: Option<String>,
    /// What came of a request to its kubelet through the API server; none where it was not sent.
    pub reached: Option<Reached>,
}

/// How long a certificate lives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// NotBefore.
    pub not_before: Timestamp,
    /// NotAfter.
    pub not_after: Timestamp,
    /// When the kubelet asks for the next one: from here on; none for one that it never renews.
    pub renews_from: Option<Timestamp>,
    /// At the latest.
    pub renews_to: Option<Timestamp>,
    /// Subject alternative names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The issuer's common name.
    pub issuer: String,
    /// Whether the kubelet signed it itself (catalogue K-18).
    pub self_signed: bool,
}

impl Diagnosis {
    /// The worst of the findings.
    pub fn worst(&self) -> Option<Grade> {
        self.findings.iter().map(|finding| finding.grade).max()
    }
}
