//! Values that have names: on the command line, in the environment and in files.

use thiserror::Error;

/// A name that no value has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is not a {kind}: choose one of {}", known.join(", "))]
pub struct UnknownName {
    name: String,
    kind: &'static str,
    known: Vec<&'static str>,
}

/// The value with this name, for `FromStr`. `kind` is what such a value is called in the error.
///
/// # Errors
/// If none of `all` has the name.
pub fn by_name<T: Copy>(
    kind: &'static str,
    all: &[T],
    name_of: fn(T) -> &'static str,
    name: &str,
) -> Result<T, UnknownName> {
    let found = all.iter().copied().find(|one| name_of(*one) == name);
    found.ok_or_else(|| UnknownName { name: name.into(), kind, known: all.iter().map(|one| name_of(*one)).collect() })
}

/// Names are taken for mistyped from this similarity on (Jaro-Winkler, 0 to 1).
const SIMILAR: f64 = 0.8;

/// The known name that is most like this word, if any is like it.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = known.into_iter().map(|name| (strsim::jaro_winkler(name, &word), name));
    let (similarity, name) = near.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity > SIMILAR).then_some(name)
}

/// What was meant by an id `chapter.name`, or a glob of ids, that fits none of these.
pub fn similar_id<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    if !wrong.contains(['*', '?', '[', '{']) {
        return similar(wrong, known).map(str::to_owned);
    }
    let (chapter, rest) = wrong.split_once('.').unwrap_or((wrong, "*"));
    let chapters = known.filter_map(|id| Some(id.split_once('.')?.0));
    similar(chapter.trim_end_matches('*'), chapters).map(|chapter| format!("{chapter}.{rest}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::similar_id;
    use crate::scenario::Profile;

    #[rstest]
    #[case::id("rotation.tow", Some("rotation.two"))]
    #[case::capitals("RBAC.One", Some("rbac.one"))]
    #[case::glob("rotaton.*", Some("rotation.*"))]
    #[case::glob_of_names("rotaton.t*", Some("rotation.t*"))]
    #[case::glob_without_a_name("rotation*", Some("rotation.*"))]
    #[case::nothing_like_it("weather.sunny", None)]
    fn what_was_meant_is_the_most_similar(#[case] wrong: &str, #[case] meant: Option<&str>) {
        let known = ["rbac.one", "rotation.two", "rotation.three"];
        assert_eq!(similar_id(wrong, known.into_iter()).as_deref(), meant);
    }

    #[test]
    fn every_name_leads_back_to_its_value() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(*profile));
        }
    }

    #[test]
    fn an_unknown_name_is_told_what_there_is() {
        let error = "quick".parse::<Profile>().unwrap_err().to_string();
        assert_eq!(error, "`quick` is not a profile: choose one of core, full, slow");
    }
}
