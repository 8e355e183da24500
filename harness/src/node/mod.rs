//! A kubelet: its files, its process and its CRI endpoint.

pub mod cri;
