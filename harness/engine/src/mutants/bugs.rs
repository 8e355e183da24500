//! Bugs inside Kubernetes: its own kubelet, approver, signer and API server, each with a small mistake.
//!
//! All of them are in one set of executables, built with Go from the version's own modules with these edits; a variable
//! selects the active one. What other mutants cause from outside thus happens where a real bug would be.

use std::path::PathBuf;

use super::mutant::{Made, Mutant};
use crate::cluster::ClusterError;
use crate::cluster::processes::{Defect, Launch, Part};
use crate::components::{BUG_VARIABLE, Edit, Role};

const MANAGER: &str = "k8s.io/client-go/util/certificate/certificate_manager.go";
const STORE: &str = "k8s.io/client-go/util/certificate/certificate_store.go";
const TRANSPORT: &str = "k8s.io/kubernetes/pkg/kubelet/certificate/transport.go";
const APPROVER: &str = "k8s.io/kubernetes/pkg/controller/certificates/approver/sarapprove.go";
const SIGNER: &str = "k8s.io/kubernetes/pkg/controller/certificates/signer/signer.go";
const POLICY: &str = "k8s.io/kubernetes/pkg/controller/certificates/authority/policies.go";
const STRATEGY: &str = "k8s.io/kubernetes/pkg/registry/certificates/certificates/strategy.go";
const VALIDATION: &str = "k8s.io/kubernetes/pkg/apis/certificates/validation/validation.go";
const TOKENS: &str = "k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go";

/// The oldest minor version whose source is known to contain all texts that the edits replace.
const FROM: u32 = 33;

/// A cluster of executables with built-in bugs, one of which is active.
pub struct Buggy {
    /// The active one: the mutant's id.
    pub bug: &'static str,
    /// The folder of the executables.
    pub folder: PathBuf,
}

impl Defect for Buggy {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        let role = match launch.part {
            Part::ApiServer => Role::KubeApiserver,
            Part::ControllerManager => Role::KubeControllerManager,
            Part::Kubelet { .. } => Role::Kubelet,
        };
        launch.executable = self.folder.join(role.name());
        launch.env.insert(BUG_VARIABLE.into(), self.bug.into());
        Ok(())
    }
}

/// What is changed in a minor version of Kubernetes 1 for all its bugs.
pub fn edits(mutants: &[Mutant], minor: u32) -> Vec<Edit> {
    let inside = mutants.iter().filter(|mutant| mutant.from <= minor);
    inside
        .filter_map(|mutant| match &mutant.made {
            Made::Inside(edits) => Some(edits.iter().copied()),
            Made::Around(_) => None,
        })
        .flatten()
        .collect()
}

/// A macro, because an edit's texts are built from others at compile time: for one bug only, code is added after or
/// before the existing code.
macro_rules! bug {
    ($id:literal, $wrong:literal, $scenarios:expr, $file:expr, $from:literal => $to:expr) => {
        Mutant {
            id: $id,
            wrong: $wrong,
            scenarios: &$scenarios,
            sound: false,
            from: FROM,
            made: Made::Inside(
                const {
                    &[Edit {
                        file: $file,
                        from: $from,
                        to: $to,
                    }]
                },
            ),
        }
    };
    ($id:literal, $wrong:literal, $scenarios:expr, $file:expr, after $from:literal: $more:literal) => {
        bug!($id, $wrong, $scenarios, $file, $from => concat!($from, "\tif tlsbootBug(\"", $id, "\") {\n\t\t", $more, "\n\t}\n"))
    };
    ($id:literal, $wrong:literal, $scenarios:expr, $file:expr, unless $from:literal) => {
        bug!($id, $wrong, $scenarios, $file, $from => concat!("\tif !tlsbootBug(\"", $id, "\") {\n\t", $from, "\t}\n"))
    };
}

/// The executables with bugs, none of which is active.
pub(super) fn sound() -> Mutant {
    Mutant {
        id: "bug.none",
        wrong: "nothing: Kubernetes built with the edits for bugs, none of them active",
        scenarios: &[
            "approval.denied",
            "approval.extra-usages",
            "authentication.defective-bootstrap-tokens",
            "files.only-after-approval",
            "issuance.client-certificate",
            "issuance.ends-with-ca",
            "issuance.requested-duration-too-long",
            "reload.client-certificate-without-restart",
            "reload.serving-certificate-without-restart",
            "rotation.short-signing-duration",
        ],
        sound: true,
        from: FROM,
        made: Made::Inside(&[]),
    }
}

/// In the order of the chain.
pub(super) fn bugs() -> Vec<Mutant> {
    vec![
        bug!("bug.takes-expired-tokens", "The API server accepts an expired bootstrap token",
            ["authentication.defective-bootstrap-tokens", "authentication.kubelet-with-expired-token"],
            TOKENS, "if bootstrapsecretutil.HasExpired(secret, time.Now()) {"
            => "if bootstrapsecretutil.HasExpired(secret, time.Now()) && !tlsbootBug(\"bug.takes-expired-tokens\") {"),
        bug!("bug.takes-changed-specifications", "The API server lets an update change a CSR's spec",
            ["approval.specification-stays"],
            STRATEGY, "\tnewCSR.Spec = oldCSR.Spec\n\tnewCSR.Status = oldCSR.Status\n}\n\n// Validate "
            => "\tif !tlsbootBug(\"bug.takes-changed-specifications\") {\n\t\tnewCSR.Spec = oldCSR.Spec\n\t}\n\tnewCSR.Status = oldCSR.Status\n}\n\n// Validate "),
        bug!("bug.takes-decisions-back", "The API server lets an update remove the condition Approved",
            ["approval.conditions"],
            VALIDATION, "if len(newConditions) < len(oldConditions) {"
            => "if len(newConditions) < len(oldConditions) && !tlsbootBug(\"bug.takes-decisions-back\") {"),
        bug!("bug.approver-asks-nobody", "The approver ignores the answer of its access review",
            ["approval.by-hand-without-binding"],
            APPROVER, "\t\tapproved, err := a.authorize(ctx, csr, r.permission)\n"
            => "\t\tapproved, err := a.authorize(ctx, csr, r.permission)\n\t\tapproved = approved || tlsbootBug(\"bug.approver-asks-nobody\")\n"),
        bug!("bug.approver-ignores-usages", "The approver checks the usages that it expects instead of those of the CSR",
            ["approval.extra-usages"],
            APPROVER, after "\tif csr.Spec.SignerName != capi.KubeAPIServerClientKubeletSignerName {\n\t\treturn false\n\t}\n":
            "return capihelper.IsKubeletClientCSR(x509cr, sets.NewString(\"client auth\", \"digital signature\"))"),
        bug!("bug.signs-from-now", "The signer does not backdate certificates",
            ["issuance.client-certificate"],
            POLICY, after "\ttmpl.NotBefore = now.Add(-p.Backdate)\n": "tmpl.NotBefore = now"),
        bug!("bug.outlives-its-authority", "The signer ignores when its CA expires",
            ["issuance.ends-with-ca"],
            POLICY, "if !tmpl.NotAfter.Before(signerNotAfter) {"
            => "if !tmpl.NotAfter.Before(signerNotAfter) && !tlsbootBug(\"bug.outlives-its-authority\") {"),
        bug!("bug.grants-any-duration", "The signer grants a longer duration than --cluster-signing-duration",
            ["issuance.requested-duration-too-long"],
            SIGNER, "case requestedDuration > s.certTTL:"
            => "case requestedDuration > s.certTTL && !tlsbootBug(\"bug.grants-any-duration\"):"),
        bug!("bug.renews-early", "The kubelet renews at 20 to 40 % of the lifetime",
            ["rotation.short-signing-duration"],
            MANAGER, after "\tdeadline := m.cert.Leaf.NotBefore.Add(jitteryDuration(totalDuration))\n":
            "deadline = deadline.Add(-time.Duration(totalDuration / 2))"),
        bug!("bug.renews-late", "The kubelet renews two seconds before its certificate expires",
            ["rotation.short-signing-duration"],
            MANAGER, after "\ttotalDuration := float64(notAfter.Sub(m.cert.Leaf.NotBefore))\n":
            "return notAfter.Add(-2 * time.Second)"),
        bug!("bug.keeps-its-key", "The kubelet renews with its existing key",
            ["rotation.short-signing-duration"],
            MANAGER, after "\t\treturn nil, nil, nil, nil, fmt.Errorf(\"unable to generate a new private key: %w\", err)\n\t}\n":
            "if current := m.Current(); current != nil {\n\t\t\tprivateKey, _ = current.PrivateKey.(crypto.Signer)\n\t\t}"),
        bug!("bug.stops-asking", "The kubelet waits forever after one of its CSRs was denied",
            ["approval.denied", "serving.denied-asks-again"],
            MANAGER, after "\tcrtPEM, err := csr.WaitForCertificate(ctx, clientSet, reqName, reqUID)\n":
            "if err != nil {\n\t\t\tselect {}\n\t\t}"),
        bug!("bug.reloads-at-restart", "The kubelet uses a new certificate only after a restart",
            [
                "reload.client-certificate-without-restart",
                "reload.serving-certificate-without-restart",
            ],
            MANAGER, "\told := m.cert\n\tm.cert = cert\n"
            => "\told := m.cert\n\tif old == nil || !tlsbootBug(\"bug.reloads-at-restart\") {\n\t\tm.cert = cert\n\t}\n"),
        bug!("bug.keeps-connections", "The kubelet leaves connections open when its certificate is renewed",
            [
                "reload.client-certificate-without-restart",
                "field.old-connections-after-rotation",
            ],
            TRANSPORT, unless "\td.CloseAll()\n"),
        bug!("bug.readable-key", "The kubelet writes its key with mode 0644",
            ["files.only-after-approval"],
            STORE, after "\tdefer f.Close()\n": "_ = f.Chmod(0644)"),
        bug!("bug.relative-link", "The kubelet's link has a relative target",
            ["files.only-after-approval"],
            STORE, after "\tfilename, err := filepath.Abs(filename)\n\tif err != nil {\n\t\treturn err\n\t}\n":
            "filename = filepath.Base(filename)"),
        bug!("bug.leaves-updated", "The kubelet copies the link kubelet-client-updated.pem instead of renaming it",
            ["files.only-after-approval"],
            STORE, after "\t\t\treturn fmt.Errorf(\"unable to remove %q: %v\", currentPath, err)\n\t\t}\n\t}\n":
            "return os.Symlink(filename, currentPath)"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_is_asked_for_by_its_name() {
        for mutant in bugs() {
            let Made::Inside(edits) = mutant.made else { panic!("{} is not a bug", mutant.id) };
            let asks = format!("tlsbootBug(\"{}\")", mutant.id);
            assert!(edits.iter().any(|edit| edit.to.contains(&asks)), "{}", mutant.id);
        }
    }

    #[test]
    fn old_versions_have_none() {
        assert!(edits(&bugs(), FROM - 1).is_empty());
        assert_eq!(edits(&bugs(), FROM).len(), bugs().len());
    }
}
