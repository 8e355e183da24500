//! Recording what happens, always and all of it, whatever a scenario asserts. One module a recorder; they know nothing
//! of expectations and nothing of providers. What a recorder may have missed, it says in the history.

mod sink;

pub use sink::{Sink, Task};
