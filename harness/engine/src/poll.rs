//! Waiting for what sends no notification: check, pause, check again, up to a deadline. What does send one (a watch, an
//! exit, a file event) is waited for there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The pause between checks that cost next to nothing: of a file, or by a request to a server on this machine.
pub const OFTEN: Duration = Duration::from_millis(25);
/// The pause between checks that start a command, such as `docker exec`, or that load a cluster which others use.
pub const SELDOM: Duration = Duration::from_millis(100);

/// Checks until something is found. `look` returns `Ok(Ok(found))`, or `Ok(Err(last))` with what it saw instead; an
/// error of its own ends the wait. After the deadline the result is what the last check saw; there is always at least
/// one check.
///
/// # Errors
/// Those of `look`.
pub async fn until<T, L, E, F>(
    deadline: Instant,
    every: Duration,
    mut look: impl FnMut() -> F,
) -> Result<Result<T, L>, E>
where
    F: Future<Output = Result<Result<T, L>, E>>,
{
    loop {
        let seen = look().await?;
        if seen.is_ok() || Instant::now() >= deadline {
            return Ok(seen);
        }
        sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const NO_TIME: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    /// Checks that see these one after another.
    async fn looks<E>(patience: Duration, seen: Vec<Result<Result<u8, u8>, E>>) -> (Result<Result<u8, u8>, E>, usize) {
        let mut left = seen.into_iter();
        let found = until(Instant::now() + patience, Duration::from_millis(1), || {
            let next = left.next();
            async { next.unwrap() }
        });
        let found = found.await;
        (found, left.len())
    }

    #[tokio::test]
    async fn it_looks_until_something_is_there() {
        let seen: Vec<Result<_, Infallible>> = vec![Ok(Err(1)), Ok(Err(2)), Ok(Ok(3)), Ok(Ok(4))];
        assert_eq!(looks(LONG, seen).await, (Ok(Ok(3)), 1));
    }

    #[tokio::test]
    async fn after_the_deadline_it_tells_what_it_saw_last() {
        let seen: Vec<Result<_, Infallible>> = vec![Ok(Err(1)), Ok(Ok(2))];
        assert_eq!(looks(NO_TIME, seen).await, (Ok(Err(1)), 1));
    }

    #[tokio::test]
    async fn an_error_ends_it() {
        assert_eq!(looks(LONG, vec![Ok(Err(1)), Err("gone"), Ok(Ok(2))]).await, (Err("gone"), 1));
    }
}
