//! What the executable carries with it: the scenarios, and its own identity.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use tlsboot_core::scenario::Library;

/// The scenario files: paths below the folder of scenarios, and texts.
pub(super) static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// The commit that the executable was built from, and its date: `1a2b3c4d5e6f 2026-11-28`.
pub(super) const COMMIT: &str = env!("TLSBOOT_COMMIT");

/// What `-V` prints after the name.
pub(super) const SHORT_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TLSBOOT_COMMIT"), ")");

/// What `--version` prints after the name.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let (count, digest) = (FILES.len(), digest(texts()));
    format!(
        "{SHORT_VERSION}\nscenarios  {count}, sha256 {digest}\nformats    history {}, result {}",
        tlsboot_core::history::event::FORMAT,
        tlsboot_core::result::FORMAT,
    )
});

/// The scenarios in the executable.
pub(super) fn library() -> Library {
    Library::of(FILES.iter().map(|(path, text)| (format!("scenarios/{path}"), Ok((*text).to_owned()))))
}

/// The texts of the scenario files.
pub(super) fn texts() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(_, text)| *text)
}

/// SHA-256 in hex of a set of scenarios: of their files' SHA-256, sorted, so that neither names nor order matter.
pub(super) fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut files: Vec<String> = texts.map(|text| hex::encode(Sha256::digest(text))).collect();
    files.sort();
    hex::encode(Sha256::digest(files.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_carries_every_scenario_file_and_all_load() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
        let on_disk = tlsboot_engine::library::load(&[folder.into()]);
        let built_in = library();
        assert!(built_in.errors.is_empty(), "{:#?}", built_in.errors);
        let facts = |library: &Library| -> Vec<_> {
            library.scenarios.iter().map(|one| (one.id.clone(), one.text.clone())).collect()
        };
        assert_eq!(facts(&built_in), facts(&on_disk));
        assert!(VERSION.contains(&digest(on_disk.scenarios.iter().map(|one| one.text.as_str()))), "{}", *VERSION);
    }
}
