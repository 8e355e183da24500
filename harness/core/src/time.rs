//! Times from outside: from a history, a certificate, a scenario. Each may lie at the limit of what a [`Timestamp`] can
//! hold, where `+` and `-` panic; clippy's `arithmetic_side_effects` finds those.

use jiff::{SignedDuration, Timestamp};

/// Saturating arithmetic.
pub trait Shift: Copy {
    /// This much later.
    fn later(self, by: SignedDuration) -> Self;
    /// This much earlier.
    fn earlier(self, by: SignedDuration) -> Self;
}

impl Shift for Timestamp {
    fn later(self, by: SignedDuration) -> Self {
        // Fails for calendar units only.
        self.saturating_add(by).unwrap_or(self)
    }

    fn earlier(self, by: SignedDuration) -> Self {
        self.saturating_sub(by).unwrap_or(self)
    }
}

impl Shift for SignedDuration {
    fn later(self, by: SignedDuration) -> Self {
        self.saturating_add(by)
    }

    fn earlier(self, by: SignedDuration) -> Self {
        self.saturating_sub(by)
    }
}

/// A duration in the unit of an event's `mono`; 0 for a negative one.
pub fn micros(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(0)
}

/// The moment at which this share of a span is over.
pub fn at_share(from: Timestamp, to: Timestamp, share: f64) -> Timestamp {
    from.later(SignedDuration::from_secs_f64(to.duration_since(from).as_secs_f64() * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_ends() {
        for by in [SignedDuration::MAX, SignedDuration::from_hours(1), SignedDuration::ZERO] {
            assert_eq!(Timestamp::MAX.later(by), Timestamp::MAX);
            assert_eq!(Timestamp::MIN.earlier(by), Timestamp::MIN);
        }
        assert_eq!(Timestamp::UNIX_EPOCH.later(SignedDuration::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::UNIX_EPOCH.earlier(SignedDuration::MIN), Timestamp::MAX);
        assert_eq!(SignedDuration::MAX.later(SignedDuration::MAX), SignedDuration::MAX);
        assert_eq!(Timestamp::UNIX_EPOCH.later(SignedDuration::from_secs(1)).as_second(), 1);
        assert_eq!(at_share(Timestamp::UNIX_EPOCH, Timestamp::from_second(100).unwrap(), 0.7).as_second(), 70);
        assert_eq!(at_share(Timestamp::MIN, Timestamp::MAX, 2.0), Timestamp::MAX);
    }
}
