//! From lanes to SVG.

use std::fmt::Write;

use super::shape::{Form, Glyph, LEFT, Lane, Row, Scale, Shape, WIDTH, crowd_text, fitting, text_width};

const ROW: f64 = 20.0;
const BAR: f64 = 15.0;
const AXIS: f64 = 20.0;
const TITLE: f64 = 18.0;
const GAP: f64 = 5.0;

/// The whole picture. `guides` are moments with labels, drawn through all lanes.
pub(super) fn svg(name: &str, scale: Scale, lanes: &[Lane], guides: &[(f64, String)]) -> String {
    let mut pen = Pen { out: String::new(), scale };
    let height: f64 = lanes.iter().map(height_of).sum::<f64>() + 2.0 * AXIS + GAP;
    pen.axis(height);
    pen.guides(guides, height);
    let mut y = AXIS + GAP;
    for lane in lanes {
        pen.lane(lane, y);
        y += height_of(lane);
    }
    format!(
        "<svg class=\"timeline\" role=\"img\" aria-label=\"{name}\" viewBox=\"0 0 {WIDTH} {height:.0}\" xmlns=\"http://www.w3.org/2000/svg\"><title>{name}</title>{}</svg>",
        pen.out,
        name = escape(name)
    )
}

/// Rows without names share their first line with the lane's title.
fn has_title_line(lane: &Lane) -> bool {
    lane.rows.first().is_some_and(|row| !row.label.is_empty())
}

fn height_of(lane: &Lane) -> f64 {
    let title = if has_title_line(lane) { TITLE } else { 0.0 };
    title + lane.rows.len() as f64 * ROW + GAP
}

struct Pen {
    out: String,
    scale: Scale,
}

// Writing to a String cannot fail, so `let _ =` below drops nothing.
impl Pen {
    fn axis(&mut self, height: f64) {
        let step = self.scale.step();
        let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        let mut tick = 0.0;
        while tick <= self.scale.end {
            let x = self.scale.x(tick);
            let _ = write!(
                self.out,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{AXIS}\" y2=\"{:.1}\"/>",
                height - AXIS
            );
            for y in [AXIS - 6.0, height - 6.0] {
                let _ = write!(self.out, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\">{tick:.digits$} s</text>");
            }
            tick += step;
        }
    }

    fn guides(&mut self, guides: &[(f64, String)], height: f64) {
        for (at, title) in guides {
            let x = self.scale.x(*at);
            let _ = write!(
                self.out,
                "<line class=\"guide\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{AXIS}\" y2=\"{:.1}\"><title>{}</title></line>",
                height - AXIS,
                escape(title)
            );
        }
    }

    fn lane(&mut self, lane: &Lane, top: f64) {
        let _ = write!(self.out, "<line class=\"rule\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{top:.1}\" y2=\"{top:.1}\"/>");
        let _ = write!(self.out, "<text class=\"lane\" x=\"2\" y=\"{:.1}\">{}</text>", top + 13.5, escape(lane.title));
        let mut y = top + 2.0 + if has_title_line(lane) { TITLE } else { 0.0 };
        for row in &lane.rows {
            self.row(row, y);
            y += ROW;
        }
    }

    fn row(&mut self, row: &Row, y: f64) {
        if !row.label.is_empty() {
            let shown = fitting(&row.label, LEFT - 18.0);
            let _ = write!(
                self.out,
                "<text class=\"row\" x=\"10\" y=\"{:.1}\"><title>{}</title>{}</text>",
                y + 12.0,
                escape(&row.label),
                escape(&shown)
            );
        }
        // backgrounds first, marks above bars
        let layer = |shape: &Shape| match shape.form {
            Form::Bar => 0,
            Form::Band => 1,
            Form::Foot => 2,
            Form::Mark(_) | Form::Many(_) => 3,
        };
        let mut shapes: Vec<&Shape> = row.shapes.iter().collect();
        // short ones above long ones, or a gap of a millisecond could not be seen
        let length = |shape: &Shape| shape.to - shape.from;
        shapes.sort_by(|a, b| layer(a).cmp(&layer(b)).then(length(b).total_cmp(&length(a))));
        shapes.iter().for_each(|shape| self.shape(shape, y));
        let bars = shapes.iter().filter(|shape| shape.form == Form::Bar);
        bars.for_each(|bar| self.beyond(bar, y));
        self.texts(&row.shapes, y);
    }

    fn shape(&mut self, shape: &Shape, y: f64) {
        let (from, to) = shape.extent(self.scale);
        let _ = write!(self.out, "<g class=\"{}\">", shape.class);
        let _ = match shape.form {
            Form::Bar => write!(
                self.out,
                "<rect class=\"bar\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                to - from
            ),
            Form::Band => write!(
                self.out,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
                to - from
            ),
            Form::Foot => {
                let y = y + BAR - 2.5;
                write!(
                    self.out,
                    "<rect class=\"foot\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"2.5\"/>",
                    to - from
                )
            }
            Form::Mark(glyph) => self.glyph(glyph, (from + to) / 2.0, y + BAR / 2.0),
            Form::Many(count) => write!(
                self.out,
                "<rect class=\"many\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"7\"/><text class=\"count\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                y + 0.5,
                to - from,
                (from + to) / 2.0,
                y + 11.5,
                crowd_text(count)
            ),
        };
        let _ = write!(self.out, "<title>{}</title></g>", escape(&shape.title));
    }

    /// A triangle at the end of a bar shows that it continues beyond the picture.
    fn beyond(&mut self, shape: &Shape, y: f64) {
        let (from, to) = shape.extent(self.scale);
        let middle = y + BAR / 2.0;
        let tips = [(shape.from < 0.0, from, 5.0), (shape.to > self.scale.end, to, -5.0)];
        for (_, tip, base) in tips.into_iter().filter(|(is_cut, ..)| *is_cut) {
            let _ = write!(
                self.out,
                "<g class=\"{}\"><path class=\"beyond\" d=\"M{tip:.1} {middle:.1}l{base} -5v10z\"/></g>",
                shape.class
            );
        }
    }

    fn glyph(&mut self, glyph: Glyph, x: f64, y: f64) -> std::fmt::Result {
        match glyph {
            Glyph::Circle => write!(self.out, "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
            Glyph::Cross => {
                write!(self.out, "<path class=\"cross\" d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\"/>", x - 4.0, y - 4.0)
            }
            Glyph::Diamond => write!(self.out, "<path class=\"mark\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>", y - 5.0),
            Glyph::Triangle => write!(self.out, "<path class=\"mark\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.0),
        }
    }

    /// Texts are placed in their bars, else to the right, else to the left, else only in the tooltip: never over
    /// something else.
    fn texts(&mut self, shapes: &[Shape], y: f64) {
        let solid = |shape: &&Shape| !matches!(shape.form, Form::Band | Form::Foot);
        let mut taken: Vec<(f64, f64)> = shapes.iter().filter(solid).map(|shape| shape.extent(self.scale)).collect();
        let spoken = shapes.iter().filter(|shape| !shape.text.is_empty()).count();
        if spoken == 0 {
            return;
        }
        for shape in shapes.iter().filter(|shape| !shape.text.is_empty()) {
            let width = text_width(&shape.text);
            let own = shape.extent(self.scale);
            let free = |from: f64, to: f64| {
                from >= LEFT && to <= WIDTH && taken.iter().all(|other| to <= other.0 || other.1 <= from)
            };
            let margin = if shape.from < 0.0 { 8.0 } else { 6.0 };
            let marked = |from: f64, to: f64| taken.iter().any(|other| *other != own && other.0 < to && from < other.1);
            let inside = (own.0 + margin, own.0 + margin + width);
            let place = if shape.form == Form::Bar && inside.1 + 2.0 <= own.1 && !marked(inside.0, inside.1) {
                Some(inside)
            } else if free(own.1 + 0.1, own.1 + 4.0 + width) {
                Some((own.1 + 4.0, own.1 + 4.0 + width))
            } else if free(own.0 - 4.0 - width, own.0 - 0.1) {
                Some((own.0 - 4.0 - width, own.0 - 4.0))
            } else {
                None
            };
            if let Some((from, to)) = place {
                taken.push((from, to));
                let _ = write!(
                    self.out,
                    "<text class=\"label\" x=\"{from:.1}\" y=\"{:.1}\">{}</text>",
                    y + 11.5,
                    escape(&shape.text)
                );
            }
        }
    }
}

/// A text as XML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
