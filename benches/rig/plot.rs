//! Lines over an axis, as SVG: a panel for each line, one above the other.

use std::fmt::Write as _;

/// One line, with a scale of its own that begins at 0.
pub(crate) struct Line {
    pub(crate) name: String,
    /// In ascending order of the first number.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const PANEL_HEIGHT: f64 = 190.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
/// Left of the first point and right of the last one, for their numbers.
const MARGIN: f64 = 24.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 30.0;

/// How far apart numbers are on the axis that all lines share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Axis {
    Linear,
    Logarithmic,
}

impl Axis {
    fn place(self, at: f64) -> f64 {
        match self {
            Self::Linear => at,
            Self::Logarithmic => at.ln(),
        }
    }
}

/// More points than this have no numbers of their own.
const LABELS_MAX: usize = 12;

/// The picture.
pub(crate) fn plot(title: &str, axis: Axis, lines: &[Line]) -> String {
    let height = PANEL_HEIGHT * lines.len() as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (number, line) in lines.iter().enumerate() {
        panel(&mut svg, axis, line, PANEL_HEIGHT * number as f64).expect("writing to a string does not fail");
    }
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{title}</text>\n</svg>", WIDTH / 2.0, height - 10.0)
        .expect("writing to a string does not fail");
    svg
}

fn panel(svg: &mut String, axis: Axis, line: &Line, top: f64) -> std::fmt::Result {
    let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { return Ok(()) };
    let greatest = line.points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let ceiling = nice(greatest);
    let begin = axis.place(first.0);
    let across = (axis.place(last.0) - begin).max(f64::MIN_POSITIVE);
    let x = |at: f64| LEFT + MARGIN + (WIDTH - LEFT - RIGHT - 2.0 * MARGIN) * (axis.place(at) - begin) / across;
    let y = |value: f64| top + PANEL_HEIGHT - BOTTOM - (PANEL_HEIGHT - BOTTOM - TOP) * value / ceiling;
    writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>", top + 20.0, line.name)?;
    for tick in 0..=4 {
        let value = ceiling * f64::from(tick) / 4.0;
        let at = y(value);
        writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT)?;
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, at + 4.0)?;
    }
    let points: Vec<String> = line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#c60\" stroke-width=\"2\"/>", points.join(" "))?;
    let every = if line.points.len() > LABELS_MAX { line.points.len().div_ceil(LABELS_MAX) } else { 1 };
    for (at, value) in line.points.iter().step_by(every) {
        let (cx, cy) = (x(*at), y(*value));
        writeln!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"#c60\"/>")?;
        let digits = if *value < 10.0 { 2 } else { 0 };
        let label = cy - 9.0;
        writeln!(svg, "<text x=\"{cx:.1}\" y=\"{label:.1}\" text-anchor=\"middle\">{value:.digits$}</text>")?;
        let below = top + PANEL_HEIGHT - BOTTOM + 16.0;
        writeln!(svg, "<text x=\"{cx:.1}\" y=\"{below:.1}\" text-anchor=\"middle\" fill=\"#666\">{at:.0}</text>")?;
    }
    Ok(())
}

/// The first of 1, 2, 4, 8, 12, 20 times a power of ten that leaves room above the greatest value.
fn nice(greatest: f64) -> f64 {
    if greatest <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(greatest.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 12.0, 20.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= greatest * 1.1).unwrap_or(20.0 * power)
}
