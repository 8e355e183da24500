//! A template for new scenarios, for `tlsboot new`.

use super::is_id;

const TEXT: &str = "\
id: ID
title: What a conforming cluster does, as one sentence that is true of it
why: |
  Why it matters, and how it works.
# Behaviors of the catalogue (`tlsboot list --requirements`), or your own (`X-...`).
requirements: [X-replace-this]
# How long each `expect` waits at most.
within: 1m
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect:
      csr: {node: n1, role: client, state: issued}
      name: issued
  - expect:
      nodeObject: {node: n1, state: ready}
  # What must not happen, and the expectation that shows that it would have been seen.
  - never:
      csr: {node: n1, role: client, state: denied}
      control: issued
";

/// The text cannot be the id of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: write `chapter.name-in-words`, in lower case")]
pub struct NotAnId(String);

/// A scenario with this id.
///
/// # Errors
/// If it cannot be an id.
pub fn start_of(id: &str) -> Result<String, NotAnId> {
    if !is_id(id) {
        return Err(NotAnId(id.to_owned()));
    }
    Ok(TEXT.replacen("ID", id, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{load_text, style};

    #[test]
    fn it_loads_and_is_well_laid_out() {
        let scenario = load_text("start.yaml", &start_of("site.my-first").unwrap()).unwrap();
        assert_eq!(scenario.id, "site.my-first");
        assert!(style(&scenario).is_empty());
    }

    #[test]
    fn other_texts_are_no_ids() {
        for wrong in ["", "first", "Site.first", "../x.y", "site/first.x"] {
            assert!(start_of(wrong).is_err(), "{wrong}");
        }
    }
}
