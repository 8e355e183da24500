//! Gives the signer another CA.

use super::{Done, DriveError, Stage};
use tlsboot_core::scenario::stimulus::replace_ca::ReplaceCa;

pub(super) async fn replace(replace: &ReplaceCa, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let valid = replace
        .valid_for
        .try_into()
        .map_err(|_| DriveError::Nothing("a CA cannot be valid for a negative duration".into()))?;
    Ok(Done::proven(stage.cluster.base().replace_ca(valid).await?))
}
