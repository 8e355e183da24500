//! SIGINT and SIGTERM: a run shuts down cleanly, unless it is interrupted twice.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Exit;
use tlsboot_engine::say;

/// Becomes true on SIGINT or SIGTERM: then clusters are stopped cleanly. A second signal ends this process at once, and
/// the kernel kills its child processes.
///
/// # Errors
/// If the signal handlers cannot be installed.
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
