//! Recording what happens, always and all of it, whatever a scenario asserts. One module a recorder; they know nothing
//! of expectations and nothing of providers. What a recorder may have missed, it says in the history.

pub mod audit;
pub mod csr;
pub mod files;
pub mod log;
pub mod metrics;
pub mod node;
mod pace;
pub mod presented;
mod sink;
mod snapshot;
mod tail;
mod tls;
mod watch;
mod written;

pub use sink::{HistoryLost, Sink};
