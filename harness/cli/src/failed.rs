//! What failed in an earlier run, to be run again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Failure;
use super::target::TargetOptions;
use tlsboot_core::check::Outcome;
use tlsboot_core::result::RunResult;
use tlsboot_core::version::{Version, VersionRequest};
use tlsboot_engine::report;
use tlsboot_engine::run::TargetId;

/// The scenarios that failed, hung or were not judged in an earlier run, each with its target.
#[derive(Debug)]
pub(super) struct FailedBefore {
    folder: PathBuf,
    /// Ids and names of targets.
    pairs: BTreeSet<(String, String)>,
    targets: Vec<TargetId>,
}

impl FailedBefore {
    /// Reads them from a run's output folder.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        Self::of(folder, &report::json::read(folder).map_err(Failure::usage)?)
    }

    fn of(folder: &Path, run: &RunResult) -> Result<Self, Failure> {
        let red = run
            .scenarios
            .iter()
            .filter(|result| matches!(result.verdict.outcome, Outcome::Fail | Outcome::Hang | Outcome::Error));
        let pairs: BTreeSet<_> = red.map(|result| (result.id.clone(), result.target.clone())).collect();
        if pairs.is_empty() {
            return Err(Failure::usage(format!("--failed {}: nothing failed in that run", folder.display())));
        }
        let mut targets = Vec::new();
        for (id, target) in &pairs {
            let known = TargetId::of_name(target).ok_or_else(|| {
                Failure::usage(format!(
                    "--failed {}: {id} failed on {target}, which tlsboot can't start",
                    folder.display()
                ))
            })?;
            if !targets.contains(&known) {
                targets.push(known);
            }
        }
        Ok(Self { folder: folder.to_owned(), pairs, targets })
    }

    /// Unless versions are chosen, those on which something failed.
    pub(super) fn choose(&self, options: &mut TargetOptions) -> Result<(), Failure> {
        let wrong = |what: String| Err(Failure::usage(format!("--failed {}: {what}", self.folder.display())));
        if let Some(other) = self.targets.iter().find(|target| target.provider != options.provider) {
            return wrong(format!("{} needs --provider {}", other.name(), other.provider));
        }
        if !options.kubernetes.is_empty() || options.kubelet.is_some() {
            return Ok(());
        }
        let skewed: BTreeSet<Version> =
            self.targets.iter().filter(|one| one.kubelet != one.kubernetes).map(|one| one.kubelet).collect();
        let mut skewed = skewed.into_iter();
        options.kubelet = skewed.next().map(VersionRequest::Exact);
        let one_kubelet = |target: &TargetId| options.kubelet.is_none_or(|kubelet| kubelet.matches(target.kubelet));
        if skewed.next().is_some() || !self.targets.iter().all(one_kubelet) {
            return wrong("its targets have kubelets of several versions: choose by --kubernetes and --kubelet".into());
        }
        options.kubernetes = self.targets.iter().map(|target| target.kubernetes.into()).collect();
        Ok(())
    }

    /// Whether this scenario failed on this target.
    pub(super) fn has(&self, id: &str, target: &TargetId) -> bool {
        self.pairs.contains(&(id.to_owned(), target.name()))
    }

    /// What is wrong if none of what failed is chosen.
    pub(super) fn none_chosen(&self) -> Failure {
        let names: Vec<String> = self.pairs.iter().map(|(id, target)| format!("{id} on {target}")).collect();
        Failure::usage(format!(
            "--failed {}: none of what failed there is selected: {}",
            self.folder.display(),
            names.join(", ")
        ))
    }
}
