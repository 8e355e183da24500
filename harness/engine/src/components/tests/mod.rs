//! The resolver with all of its sources, with small files in place of Kubernetes.

mod fixtures;
mod sources;
mod store;
mod versions;
