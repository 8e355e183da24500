//! The asynchronous runtime of a command.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// A runtime of a quarter of the machine's cores: the clusters under test need the others, and threads that hand the
/// many small things that recorders do on to one another cost more than these things themselves.
///
/// # Errors
/// When the operating system gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    Builder::new_multi_thread().worker_threads(cores.div_ceil(4)).enable_all().build()
}
