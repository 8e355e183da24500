//! CSRs, as named by the steps that change them.

use std::fmt;

use super::Names;
use crate::check::Role;

/// Which CSR is meant: the newest one that matches and is in the state that the step needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CsrPick<'a> {
    /// The node that the certificate is for.
    pub node: Option<&'a str>,
    /// Which of the node's certificates it is for.
    pub role: Option<Role>,
    /// The one that the step `submit` of this name created.
    pub submitted: Option<&'a str>,
}

impl CsrPick<'_> {
    pub(super) fn lint(&self, names: &Names<'_>) -> Option<String> {
        if let Some(submitted) = self.submitted {
            return names.submitted(submitted);
        }
        match self.node {
            Some(node) => names.subject(node),
            None => Some(format!("`{}` needs a CSR: name a `node`, or a `submitted` one", names.word)),
        }
    }
}

impl fmt::Display for CsrPick<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CSR")?;
        if let Some(node) = self.node {
            write!(f, " for node {node}")?;
        }
        if let Some(role) = self.role {
            write!(f, " for a {} certificate", role.word())?;
        }
        if let Some(submitted) = self.submitted {
            write!(f, " of the step `{submitted}`")?;
        }
        Ok(())
    }
}
