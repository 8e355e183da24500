//! The asynchronous runtime of a command.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// A runtime with a quarter of the machine's cores: the clusters under test need the others, and passing the recorders'
/// many small tasks between threads costs more than the tasks themselves.
///
/// # Errors
/// If the operating system provides no threads.
pub fn runtime() -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    Builder::new_multi_thread().worker_threads(cores.div_ceil(4)).enable_all().build()
}
