//! The exit codes of all commands.

/// How a command ended, as a shell or a CI system sees it. The worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: everything is as expected.
    Pass,
    /// 1: a scenario failed or hung, or something was found that should not be.
    Fail,
    /// 2: the command line, a scenario or another input is invalid. Nothing was run.
    Usage,
    /// 3: tlsboot could not do its work, which says nothing about the cluster.
    Error,
    /// 130: interrupted by SIGINT or SIGTERM, after cleaning up.
    Interrupted,
    /// The exit code of the command that `tlsboot up` ran.
    Command(u8),
}

impl Exit {
    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Usage => 2,
            Self::Error => 3,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }
}
