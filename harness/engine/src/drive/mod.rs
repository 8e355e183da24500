//! Acting on a cluster: one module per stimulus. Each returns proof that it took effect. If no effect can be observed,
//! that is an error of the harness, never silently ignored.

mod addresses;
mod admission;
mod ca;
mod csr;
mod damage;
mod expiry;
mod link;
mod node;
mod patch;
mod process;
mod rbac;
mod reach;
mod request;
mod token;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, Ending};
use crate::poll;
use crate::task::Task;
use tlsboot_core::check::State;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::Answer;
use tlsboot_core::scenario::Step;

/// The result of a stimulus.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The observed effect.
    pub proof: String,
    /// The API server's answer, if it was a request.
    pub answer: Option<Answer>,
}

impl Done {
    /// What took effect, and how that was observed; its text goes into the history.
    fn proven(proof: impl fmt::Display) -> Self {
        Self { proof: proof.to_string(), answer: None }
    }
}

/// Why a stimulus could not be performed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The cluster refused or failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The API server refused or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// Its effect was not observed in time.
    #[error("no effect within {} s: {last}", .within.as_secs())]
    NoEffect {
        /// How long it was waited for.
        within: Duration,
        /// What was last seen.
        last: String,
    },
    /// There is nothing to act on.
    #[error("{0}")]
    Nothing(String),
    /// A file or key could not be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A key or request could not be created.
    #[error(transparent)]
    Pki(#[from] tlsboot_core::x509::X509Error),
}

/// What a stimulus works on.
pub struct Stage<'a> {
    /// The cluster.
    pub cluster: &'a dyn Cluster,
    /// The state, according to the history.
    pub state: &'a State,
    /// The rules for these versions.
    pub rules: Rules,
    /// What goes on beside the steps until the scenario ends.
    pub beside: &'a Mutex<Vec<Task>>,
}

/// Performs one step.
///
/// # Errors
/// If it could not be performed, or its effect was not observed.
pub async fn perform(step: &Step, stage: &Stage<'_>) -> Result<Done, DriveError> {
    match step {
        Step::Start(start) => process::start(start, stage).await,
        Step::Stop(stop) => process::end(stop.process(), Ending::Stop, stage).await,
        Step::Kill(kill) => process::end(kill.process(), Ending::Kill, stage).await,
        Step::Restart(restart) => process::restart(restart, stage).await,
        Step::Join(join) => process::join(&join.node, stage).await,
        Step::Bind(bind) => rbac::bind(&bind.cluster_role, &bind.to, &stage.cluster.base().admin()).await,
        Step::Unbind(unbind) => rbac::unbind(&unbind.cluster_role, &stage.cluster.base().admin()).await,
        Step::CreateClusterRole(role) => rbac::create_role(role, &stage.cluster.base().admin()).await,
        Step::Refuse(refuse) => admission::refuse(refuse, stage).await,
        Step::Admit(admit) => admission::admit(admit, stage).await,
        Step::Approve(approve) => csr::decide(approve, csr::Decision::Approve, stage).await,
        Step::Deny(deny) => csr::decide(deny, csr::Decision::Deny, stage).await,
        Step::DeleteCsr(delete) => csr::delete(delete, stage).await,
        Step::CreateToken(name) => token::create(&name.token, stage).await,
        Step::DeleteToken(name) => token::delete(&name.token, stage).await,
        Step::ExpireToken(name) => token::expire(&name.token, stage).await,
        Step::Submit(submit) => request::submit(submit, stage).await,
        Step::PatchCsr(change) => patch::patch(change, stage).await,
        Step::SetAddresses(change) => addresses::set(change, stage).await,
        Step::DeleteNode(delete) => node::delete(delete, stage).await,
        Step::Get(get) => request::get(get, stage).await,
        Step::Reach(reach) => reach::reach(reach, stage).await,
        Step::Damage(damage) => damage::damage(damage, stage).await,
        Step::ReplaceServingPair(replace) => damage::replace_pair(replace, stage).await,
        Step::ReplaceKubeletClient(replace) => reach::replace_client(replace, stage).await,
        Step::Cut(cut) => link::cut(cut, stage).await,
        Step::Reconnect(reconnect) => link::reconnect(reconnect, stage).await,
        Step::WaitForExpiry(expiry) => expiry::wait(expiry, stage).await,
        Step::ReplaceCa(replace) => ca::replace(replace, stage).await,
        Step::Expect(_) | Step::Never(_) | Step::Stays(_) => {
            Err(DriveError::Nothing("an expectation is judged, not performed".into()))
        }
    }
}

/// Creates the bindings that the scenario's cluster begins with.
///
/// # Errors
/// If one cannot be created, or has no effect.
pub async fn prepare(bindings: &tlsboot_core::scenario::Bindings, client: &Client) -> Result<(), DriveError> {
    let made = bindings.present();
    futures::future::try_join_all(made.map(async |(role, to)| rbac::bind(&role.into(), to, client).await)).await?;
    Ok(())
}

/// Effects take milliseconds; the limit is for machines under heavy load.
const EFFECT: Duration = Duration::from_secs(30);

/// Checks until the effect is observed. `look` returns it, or what it saw instead.
async fn until<T, F>(look: impl FnMut() -> F) -> Result<T, DriveError>
where
    F: Future<Output = Result<Result<T, String>, DriveError>>,
{
    let seen = poll::until(Instant::now() + EFFECT, poll::OFTEN, look).await?;
    seen.map_err(|last| DriveError::NoEffect { within: EFFECT, last })
}
