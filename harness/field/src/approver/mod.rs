//! The approver kit: hostile and odd CSRs, fired at whatever approver a cluster has, and what must become of each.
//! Three planes as everywhere: [`fire`] drives and observes, [`corpus`], [`policy`] and [`judge`] are pure, [`words`] says it.

pub mod corpus;
pub mod decision;
pub mod fire;
pub mod judge;
pub mod policy;
pub mod words;
