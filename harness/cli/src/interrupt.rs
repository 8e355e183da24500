//! SIGINT and SIGTERM: a run ends in order, unless it is asked twice.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Exit;
use tlsboot_engine::say;

/// Becomes true on SIGINT or SIGTERM: then clusters are stopped in order. A second signal ends this process at once, and
/// the kernel takes its processes along.
///
/// # Errors
/// When the signals can't be caught.
pub fn on_interrupt() -> io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            if sender.send_replace(true) {
                std::process::exit(Exit::Interrupted.code().into());
            }
            say!("interrupted: stopping clusters (interrupt again to exit at once)");
        }
    });
    Ok(receiver)
}
