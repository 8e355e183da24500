//! Why a command ends early.

use std::error::Error;
use std::fmt;

use tlsboot_core::exit::Exit;
use tlsboot_engine::components::ComponentError;

/// Why a command ends early: what is wrong, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong and what to do, for people.
    pub error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The user has to change something: the command line, a scenario, another file.
    pub(super) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// tlsboot could not do it.
    pub(super) fn error(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Error, error: error.into() }
    }

    /// Versions that do not exist and empty folders are mistakes on the command line.
    pub(super) fn of_components(error: ComponentError) -> Self {
        use ComponentError::{Directory, Setting, UnknownMinor};
        match error {
            UnknownMinor(_) | Directory { .. } | Setting { .. } => Self::usage(error),
            _ => Self::error(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
