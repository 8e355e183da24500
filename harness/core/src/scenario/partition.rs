//! A part of a run, for machines that share the work.

use std::str::FromStr;

use thiserror::Error;

/// One of several parts, such as `2/5`. Parts are dealt out in turn, so that a chapter's long scenarios are spread over
/// all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    part: u32,
    of: u32,
}

/// A text is not a partition, or there is not enough to partition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum PartitionError {
    /// It is not a partition.
    #[error("`{0}` is not a part: write it as K/N, with K from 1 to N, like 2/5")]
    Malformed(String),
    /// A part would be empty, and a run of nothing must not pass.
    #[error("with {of} parts for {all} scenarios some would be empty: use at most {all}")]
    TooMany {
        /// How many parts.
        of: u32,
        /// How many scenarios there are, counted once per target.
        all: usize,
    },
}

impl Partition {
    /// Which part, starting at 1.
    pub fn part(self) -> u32 {
        self.part
    }

    /// The number of parts.
    pub fn of(self) -> u32 {
        self.of
    }

    /// This part of a list.
    ///
    /// # Errors
    /// If there are more parts than elements.
    pub fn take<T>(self, all: Vec<T>) -> Result<Vec<T>, PartitionError> {
        let (part, of) = (self.part as usize, self.of as usize);
        if of > all.len() {
            return Err(PartitionError::TooMany { of: self.of, all: all.len() });
        }
        Ok(all.into_iter().skip(part - 1).step_by(of).collect())
    }
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| number.to_string() == text);
        text.split_once('/')
            .and_then(|(part, of)| Some((number(part)?, number(of)?)))
            .filter(|(part, of)| (1..=*of).contains(part))
            .map(|(part, of)| Self { part, of })
            .ok_or_else(|| PartitionError::Malformed(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    proptest! {
        /// Nothing is lost, nothing is done twice, the order is kept, and the sizes of the parts differ by at most one.
        #[test]
        fn parts_make_up_the_whole(all in 1_usize..300, of in 1_u32..40) {
            prop_assume!(of as usize <= all);
            let list: Vec<usize> = (0..all).collect();
            let parts: Vec<Vec<usize>> = (1..=of)
                .map(|part| Partition { part, of }.take(list.clone()).unwrap())
                .collect();
            let mut together = parts.concat();
            together.sort_unstable();
            prop_assert_eq!(together, list);
            let sizes = || parts.iter().map(Vec::len);
            prop_assert!(sizes().min() >= Some(1));
            prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
            prop_assert!(parts.iter().all(|part| part.is_sorted()));
        }

        #[test]
        fn what_is_written_is_read(part in 1_u32..50, more in 0_u32..50) {
            let partition: Partition = format!("{part}/{}", part + more).parse().unwrap();
            prop_assert_eq!((partition.part(), partition.of()), (part, part + more));
        }
    }

    #[rstest]
    #[case("0/3")]
    #[case("4/3")]
    #[case("1")]
    #[case("1/0")]
    #[case("+1/3")]
    #[case("01/3")]
    #[case("a/b")]
    fn other_texts_are_no_parts(#[case] text: &str) {
        let error = text.parse::<Partition>().unwrap_err();
        assert!(error.to_string().contains("K/N"));
    }

    #[test]
    fn an_empty_part_is_an_error_for_every_part() {
        for text in ["1/4", "4/4"] {
            let error = text.parse::<Partition>().unwrap().take(vec![1, 2, 3]).unwrap_err();
            assert!(error.to_string().contains("at most 3"), "{error}");
        }
    }
}
