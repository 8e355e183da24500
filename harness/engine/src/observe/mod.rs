//! Records what happens, always and completely, whatever a scenario asserts. One module per recorder; they know nothing
//! about expectations or providers. A recorder writes into the history what it may have missed.

pub mod audit;
pub mod csr;
pub mod files;
pub mod load;
pub mod log;
pub mod looks;
pub mod metrics;
pub mod node;
mod pace;
pub mod presented;
mod sink;
mod snapshot;
mod tail;
pub(crate) mod tls;
mod watch;
mod written;

pub use sink::{HistoryLost, Sink};
