//! Another CA for the signer.

use super::{Done, DriveError, Stage};
use tlsboot_core::scenario::stimulus::replace_ca::ReplaceCa;

pub(super) async fn replace(replace: &ReplaceCa, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let valid = replace
        .valid_for
        .try_into()
        .map_err(|_| DriveError::Nothing("a CA can't be valid for a negative time".into()))?;
    Ok(Done::proven(stage.cluster.base().replace_ca(valid).await?))
}
