//! What the lanes consist of, and how it is arranged without overlaps.

use crate::report::words;

/// Width of the picture; it is scaled to any screen.
pub(super) const WIDTH: f64 = 1000.0;
/// Where the time axis begins: the names of the lanes are left of it.
pub(super) const LEFT: f64 = 142.0;
/// Where the time axis ends.
pub(super) const RIGHT: f64 = WIDTH - 24.0;
/// Half the width of a mark.
const HALF: f64 = 5.0;
/// The widest crowd: it includes all marks up to this distance from its first.
const CROWD: f64 = 26.0;
/// The approximate width of a character in the picture's labels.
const LETTER: f64 = 6.5;
/// The longest list in one tooltip.
const TOLD: usize = 8;

/// From seconds to positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The last second shown.
    pub(super) end: f64,
}

impl Scale {
    pub(super) fn until(last: f64) -> Self {
        Self { end: (last * 1.01).max(0.1) }
    }

    /// The position of a moment; moments outside are placed at the nearest end.
    pub(super) fn x(self, seconds: f64) -> f64 {
        LEFT + (seconds / self.end).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// The distance between ticks in seconds: round numbers, not too dense.
    pub(super) fn step(self) -> f64 {
        const STEPS: [f64; 18] = [
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
        ];
        let wanted = self.end / 12.0;
        STEPS.into_iter().find(|step| *step >= wanted).unwrap_or_else(|| (wanted / 3600.0).ceil() * 3600.0)
    }
}

/// Something of one kind.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// A line of a lane.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) shapes: Vec<Shape>,
}

/// A bar, a band or a mark. Times in seconds from the start.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) form: Form,
    pub(super) from: f64,
    pub(super) to: f64,
    /// The class that determines its color.
    pub(super) class: &'static str,
    /// Written in it or beside it, if there is room.
    pub(super) text: String,
    /// The tooltip.
    pub(super) title: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// From one moment to another.
    Bar,
    /// In front of a bar but behind its text: a part of it.
    Band,
    /// A thin line at the foot of a bar.
    Foot,
    /// A moment.
    Mark(Glyph),
    /// Many moments.
    Many(usize),
}

/// The shape of a mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Glyph {
    Circle,
    Cross,
    Diamond,
    Triangle,
}

impl Shape {
    pub(super) fn bar(from: f64, to: f64, class: &'static str, title: String) -> Self {
        Self { form: Form::Bar, from, to, class, text: String::new(), title }
    }

    pub(super) fn mark(at: f64, glyph: Glyph, class: &'static str, title: String) -> Self {
        Self { form: Form::Mark(glyph), from: at, to: at, class, text: String::new(), title }
    }

    pub(super) fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    pub(super) fn text(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Left and right edge. The smallest bar is still visible, the largest crowd is still a mark.
    pub(super) fn extent(&self, scale: Scale) -> (f64, f64) {
        let (from, to) = (scale.x(self.from), scale.x(self.to));
        match self.form {
            Form::Mark(_) => (from - HALF, from + HALF),
            Form::Many(count) => {
                let width = text_width(&crowd_text(count)) + 6.0;
                (from - HALF, from - HALF + width.clamp(15.0, CROWD))
            }
            _ => {
                let width = (to - from).max(2.5);
                let from = from.min(RIGHT - width);
                (from, from + width)
            }
        }
    }
}

/// The number in a crowd, at most three characters up to 99 thousand.
pub(super) fn crowd_text(count: usize) -> String {
    match count {
        0..1000 => count.to_string(),
        _ => format!("{}k", count / 1000),
    }
}

/// The approximate width of a text.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// As much of a text as fits.
pub(super) fn fitting(text: &str, room: f64) -> String {
    if text_width(text) <= room {
        return text.to_owned();
    }
    let most = (room / LETTER).floor().max(2.0) as usize - 1;
    text.chars().take(most).chain(['…']).collect()
}

/// Arranges groups of shapes (each group stays together, with its texts beside it) into as few rows as possible.
pub(super) fn pack(groups: Vec<Vec<Shape>>, scale: Scale) -> Vec<Row> {
    let mut rows: Vec<(Row, Vec<(f64, f64)>)> = Vec::new();
    for group in groups {
        let needs = room_of(&group, scale);
        let free = |taken: &[(f64, f64)]| taken.iter().all(|known| needs.1 < known.0 || known.1 < needs.0);
        match rows.iter_mut().find(|(_, taken)| free(taken)) {
            Some((row, taken)) => {
                row.shapes.extend(group);
                taken.push(needs);
            }
            None => rows.push((Row { label: String::new(), shapes: group }, vec![needs])),
        }
    }
    rows.into_iter().map(|(row, _)| row).collect()
}

/// The room that shapes and their texts need: to the right of them, or to the left at the end of the picture.
fn room_of(group: &[Shape], scale: Scale) -> (f64, f64) {
    let edges = group.iter().map(|shape| shape.extent(scale));
    let (left, right) = edges.fold((f64::MAX, f64::MIN), |all, edge| (all.0.min(edge.0), all.1.max(edge.1)));
    let text: f64 = group.iter().map(|shape| text_width(&shape.text)).sum();
    let inside = group.iter().any(|shape| {
        let (from, to) = shape.extent(scale);
        shape.form == Form::Bar && !shape.text.is_empty() && text_width(&shape.text) + 8.0 <= to - from
    });
    match text {
        0.0 => (left, right + 6.0),
        _ if inside => (left, right + 6.0),
        _ if right + text + 10.0 <= WIDTH => (left, right + text + 10.0),
        _ => (left - text - 10.0, right + 6.0),
    }
}

/// Merges overlapping marks of a row. `marks` are in order of time.
pub(super) fn gather(marks: Vec<Shape>, scale: Scale) -> Vec<Shape> {
    let mut gathered = Vec::new();
    let mut rest = marks.as_slice();
    while let Some(first) = rest.first() {
        let distance = |mark: &Shape| scale.x(mark.from) - scale.x(first.from);
        let touched = rest.get(1).is_some_and(|next| distance(next) < 2.0 * HALF);
        let reach = if touched { CROWD } else { 0.0 };
        let count = 1 + rest[1..].iter().take_while(|mark| distance(mark) < reach).count();
        gathered.push(crowd(&rest[..count]));
        rest = &rest[count..];
    }
    gathered
}

fn crowd(marks: &[Shape]) -> Shape {
    if let [one] = marks {
        return one.clone();
    }
    let same = marks.iter().all(|mark| mark.class == marks[0].class);
    let mut lines: Vec<String> = vec![format!("{} since {}", marks.len(), words::seconds(marks[0].from))];
    lines.extend(marks.iter().take(TOLD).map(|mark| mark.title.clone()));
    if marks.len() > TOLD {
        lines.push(format!("… and {} more", marks.len() - TOLD));
    }
    Shape {
        form: Form::Many(marks.len()),
        from: marks[0].from,
        to: marks[marks.len() - 1].from,
        class: if same { marks[0].class } else { "mixed" },
        text: String::new(),
        title: lines.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0.1, 0.01)]
    #[case(7.0, 1.0)]
    #[case(64.0, 10.0)]
    #[case(300.0, 30.0)]
    #[case(100_000.0, 10_800.0)]
    fn ticks_are_round_and_few(#[case] end: f64, #[case] step: f64) {
        assert_eq!(Scale { end }.step(), step);
    }

    #[test]
    fn what_overlaps_gets_another_row() {
        let scale = Scale { end: 100.0 };
        let bar = |from, to| vec![Shape::bar(from, to, "x", String::new()).text("a label of some length")];
        assert_eq!(pack(vec![bar(0.0, 1.0), bar(50.0, 51.0), bar(2.0, 3.0)], scale).len(), 2);
    }

    #[test]
    fn near_marks_become_one() {
        let scale = Scale { end: 100.0 };
        let mark = |at| Shape::mark(at, Glyph::Circle, "x", format!("at {at}"));
        let gathered = gather(vec![mark(1.0), mark(1.1), mark(50.0)], scale);
        assert_eq!(gathered.len(), 2);
        assert_eq!(gathered[0].form, Form::Many(2));
        assert!(gathered[0].title.contains("at 1.1"));
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(fitting("abcdefghij", 39.0), "abcde…");
        assert_eq!(fitting("abc", 36.0), "abc");
    }
}
