//! The approver kit: hostile and malformed CSRs, sent to the approver of a cluster, and the expected result of each.
//! Three planes as everywhere: [`fire`] drives and observes, [`corpus`], [`policy`] and [`judge`] are pure, [`words`]
//! formats.

pub mod corpus;
pub mod decision;
pub mod fire;
pub mod issued;
pub mod judge;
pub mod policy;
pub mod rule;
pub mod words;
