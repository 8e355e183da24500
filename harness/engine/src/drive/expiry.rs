//! Waits until a certificate has expired: waits for a fact, NotAfter, not for a duration.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Done, DriveError, Stage};
use crate::cluster::ClusterError;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::scenario::stimulus::wait_for_expiry::WaitForExpiry;
use tlsboot_core::time::Shift;
use tlsboot_core::x509::read;

/// A certificate is valid up to and including the second of its NotAfter (RFC 5280, 4.1.2.5).
const INCLUDED: SignedDuration = SignedDuration::from_secs(1);
/// Longer waits are a mistake in the scenario: it should ask for a shorter signing duration.
const LONGEST: SignedDuration = SignedDuration::from_mins(20);
/// Short enough to follow a clock that is changed in the meantime.
const NAP: Duration = Duration::from_secs(1);

pub(super) async fn wait(expiry: &WaitForExpiry, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let (name, certificate) = match expiry.certificate {
        None => on_disk(expiry, stage).await?,
        Some(number) => issued(expiry, number, stage),
    };
    let not_after = certificate
        .ok_or_else(|| DriveError::Nothing(format!("there is no certificate that could expire: {name}")))?
        .not_after;
    let expired = not_after.later(INCLUDED);
    let begin = Timestamp::now();
    if expired.duration_since(begin) > LONGEST {
        return Err(DriveError::Nothing(format!(
            "{name} does not expire until {not_after}; give the cluster a shorter `signingDuration`, such as `quick`"
        )));
    }
    while let Some(left) = left(Timestamp::now(), expired) {
        tokio::time::sleep(left.min(NAP)).await;
    }
    Ok(Done::proven(format!("{name} expired at {not_after}; now it is {}", Timestamp::now())))
}

/// The certificate behind the link.
async fn on_disk(expiry: &WaitForExpiry, stage: &Stage<'_>) -> Result<(String, Option<CertificateFacts>), DriveError> {
    let file = format!("{}-current.pem", expiry.role.file_prefix());
    let path = stage.cluster.nodes().dir(&expiry.node).await?.through(&file);
    let pem = std::fs::read(&path).map_err(ClusterError::file(&path))?;
    let certificate = read::certificates_from_pem(&pem)?.into_iter().next();
    Ok((format!("the certificate in {file}"), certificate))
}

/// The certificate of this number, as the history shows it.
fn issued(expiry: &WaitForExpiry, number: usize, stage: &Stage<'_>) -> (String, Option<CertificateFacts>) {
    let issued = stage.state.issued(&expiry.node, expiry.role);
    let certificate = issued.get(number.wrapping_sub(1)).map(|(_, certificate)| (*certificate).clone());
    (format!("{} certificate {number}", expiry.role.word()), certificate)
}

fn left(now: Timestamp, then: Timestamp) -> Option<Duration> {
    Duration::try_from(then.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_at_the_time_and_after_it() {
        let then = Timestamp::UNIX_EPOCH;
        assert_eq!(left(then - SignedDuration::from_secs(2), then), Some(Duration::from_secs(2)));
        assert_eq!(left(then, then), None);
        assert_eq!(left(then + SignedDuration::from_secs(2), then), None);
    }
}
