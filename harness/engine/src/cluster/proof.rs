//! What shows that something was done to a cluster. Its text is in the history, for people to read.

use std::fmt;

use crate::process::Exit;
use tlsboot_core::scenario::stimulus::Component;

/// The observed effect of something that was done to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A process was started and is running.
    Runs {
        /// Its name, as part of a sentence.
        what: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// A component was started and reports that it is ready.
    Ready {
        /// Which component.
        component: Component,
        /// Its process id.
        pid: u32,
    },
    /// A process was stopped.
    Ended {
        /// Its name, as part of a sentence.
        what: &'static str,
        /// Its process id.
        pid: u32,
        /// How it exited, if its parent reported it.
        exit: Option<Exit>,
    },
    /// A component was started in a way that it cannot run, and exited.
    Failed {
        /// Which component.
        component: Component,
        /// Its process id.
        pid: u32,
        /// How it exited.
        exit: Exit,
        /// The end of its log.
        log: String,
    },
    /// A node's link is cut.
    Cut {
        /// How many of its connections are still open: all or none, depending on how it was cut.
        connections: usize,
    },
    /// A node's link lets connections through.
    Mended,
    /// The API server accepts client certificates of a new CA.
    Trusted,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { what, pid } => write!(f, "{what} runs as pid {pid}"),
            Self::Ready { component, pid } => write!(f, "{} runs as pid {pid} and is ready", component.name()),
            Self::Ended { what, pid, exit: Some(exit) } => write!(f, "{what} (pid {pid}) {exit}"),
            Self::Ended { what, pid, exit: None } => write!(f, "{what} (pid {pid}) has exited"),
            Self::Failed { component, pid, exit, log } => write!(f, "{} (pid {pid}) {exit}; {log}", component.name()),
            Self::Cut { connections } => write!(f, "the link is cut; connections open through it: {connections}"),
            Self::Mended => f.write_str("the link lets connections through"),
            Self::Trusted => f.write_str("the API server accepts a client certificate of the new CA"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const EXIT: Exit = Exit { code: Some(1), signal: None };
    const KILLED: Exit = Exit { code: None, signal: Some(9) };

    #[rstest]
    #[case(Proof::Runs { what: "the kubelet", pid: 7 }, "the kubelet runs as pid 7")]
    #[case(Proof::Ready { component: Component::ApiServer, pid: 7 }, "kube-apiserver runs as pid 7 and is ready")]
    #[case(Proof::Ended { what: "the kubelet", pid: 7, exit: Some(EXIT) }, "the kubelet (pid 7) exited with code 1")]
    #[case(Proof::Ended { what: "the kubelet", pid: 7, exit: Some(KILLED) }, "the kubelet (pid 7) was killed by SIGKILL")]
    #[case(Proof::Ended { what: "the kubelet", pid: 7, exit: None }, "the kubelet (pid 7) has exited")]
    #[case(
        Proof::Failed { component: Component::ApiServer, pid: 7, exit: EXIT, log: "the end of its log says: no".into() },
        "kube-apiserver (pid 7) exited with code 1; the end of its log says: no"
    )]
    fn proofs_are_sentences(#[case] proof: Proof, #[case] words: &str) {
        assert_eq!(proof.to_string(), words);
    }
}
