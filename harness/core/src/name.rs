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

#[cfg(test)]
mod tests {
    use crate::scenario::Profile;

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
