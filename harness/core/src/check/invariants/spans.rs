//! Stretches of time, and what is left of them.

use jiff::Timestamp;

/// From one moment up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// What two lists of spans have in common.
pub(super) fn common(one: &[Span], other: &[Span]) -> Vec<Span> {
    let pairs = one.iter().flat_map(|left| other.iter().map(move |right| (left, right)));
    let both = pairs.map(|(left, right)| Span { from: left.from.max(right.from), to: left.to.min(right.to) });
    both.filter(|span| span.from < span.to).collect()
}

/// What is left of these spans without those.
pub(super) fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    holes.iter().fold(spans.to_vec(), |left, hole| {
        let around = |span: Span| {
            let before = Span { from: span.from, to: span.to.min(hole.from) };
            let after = Span { from: span.from.max(hole.to), to: span.to };
            match hole.to <= span.from || span.to <= hole.from {
                true => vec![span],
                false => vec![before, after],
            }
        };
        left.into_iter().flat_map(around).filter(|span| span.from < span.to).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(all: &[(i64, i64)]) -> Vec<Span> {
        let at = |second| Timestamp::from_second(second).unwrap();
        all.iter().map(|(from, to)| Span { from: at(*from), to: at(*to) }).collect()
    }

    #[test]
    fn holes_are_cut_out_and_what_is_common_is_kept() {
        assert_eq!(
            without(&spans(&[(0, 10), (20, 30)]), &spans(&[(3, 4), (9, 25)])),
            spans(&[(0, 3), (4, 9), (25, 30)])
        );
        assert_eq!(without(&spans(&[(0, 10)]), &spans(&[(10, 12), (0, 0)])), spans(&[(0, 10)]));
        assert_eq!(without(&spans(&[(2, 10)]), &spans(&[(0, 12)])), []);
        assert_eq!(common(&spans(&[(0, 10), (20, 30)]), &spans(&[(5, 25)])), spans(&[(5, 10), (20, 25)]));
        assert_eq!(common(&spans(&[(0, 10)]), &spans(&[(10, 20)])), []);
    }
}
