//! The budget spent over time, as a picture without a script.

use super::dates::date;
use crate::finding::count;
use sottovoce_privacy::shown::at_most;
use std::fmt::Write;

/// What each period came to, and the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Start of each period, in seconds since the Epoch, and its ε.
    pub points: Vec<(u64, f64)>,
    /// The ε that the program declares for a period.
    pub limit: Option<f64>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 56.0;
/// Periods that are drawn: the last ones.
const MOST: usize = 40;
/// Dates under the axis, at most.
const DATES: usize = 8;
/// With more bars than this, their numbers would overlap.
const NUMBERED: usize = 12;
const WIDEST: f64 = 60.0;

impl Plot {
    /// As SVG, with a description for whoever does not see it.
    pub fn svg(&self) -> String {
        let points = &self.points[self.points.len().saturating_sub(MOST)..];
        let highest =
            points.iter().map(|(_, epsilon)| *epsilon).chain(self.limit).fold(0.1, f64::max);
        let (step, end) = ticks(highest);
        let scale = Scale { end };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n",
            self.words()
        );
        scale.axes(&mut svg, step);
        bars(&mut svg, scale, points);
        if let Some(limit) = self.limit {
            limit_line(&mut svg, scale.y(limit), limit);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// In one line of words.
    pub fn words(&self) -> String {
        let most = self.points.iter().map(|(_, epsilon)| *epsilon).fold(0.0, f64::max);
        let limit = match self.limit {
            Some(limit) => format!(", of a limit of {limit}"),
            None => String::new(),
        };
        let periods = count(self.points.len() as u64, "period");
        format!("Privacy budget spent in {periods}: at most ε = {}{limit}", at_most(most, 3))
    }
}

/// Where numbers are in the picture.
#[derive(Clone, Copy)]
struct Scale {
    /// The number at the top of the axis.
    end: f64,
}

impl Scale {
    fn y(self, epsilon: f64) -> f64 {
        BASE - epsilon / self.end * (BASE - TOP)
    }

    /// Both axes, with numbers and what they are.
    fn axes(self, svg: &mut String, step: f64) {
        let end = WIDTH - RIGHT;
        let mut tick = 0.0;
        while tick <= self.end * 1.000_001 {
            let y = self.y(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                (tick * 1000.0).round() / 1000.0
            );
            tick += step;
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{BASE}H{end}\" fill=\"none\" stroke=\"#444\"/>\n\
             <text x=\"16\" y=\"{middle}\" transform=\"rotate(-90 16 {middle})\" text-anchor=\"middle\">ε of a \
             period</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">start of the period (UTC)</text>",
            f64::midpoint(LEFT, end),
            HEIGHT - 8.0,
            middle = f64::midpoint(TOP, BASE)
        );
    }
}

const BASE: f64 = HEIGHT - BOTTOM;

/// A round step between numbers of the axis, and the axis's end: a whole number of steps, above the highest bar.
fn ticks(highest: f64) -> (f64, f64) {
    let room = highest * 1.05;
    let mut step = 0.02;
    for factor in [2.5, 2.0, 2.0].into_iter().cycle().take(900) {
        if room / step <= 6.0 {
            break;
        }
        step *= factor;
    }
    (step, step * (room / step).ceil())
}

fn bars(svg: &mut String, scale: Scale, points: &[(u64, f64)]) {
    if points.is_empty() {
        let (x, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), f64::midpoint(TOP, BASE));
        let _ =
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">nothing yet</text>");
    }
    #[expect(clippy::cast_precision_loss, reason = "at most forty")]
    let slot = (WIDTH - LEFT - RIGHT) / points.len().max(1) as f64;
    let (width, every) = ((slot * 0.7).min(WIDEST), points.len().div_ceil(DATES).max(1));
    for (place, (start, epsilon)) in (0_u16..).zip(points) {
        let (middle, y) = (LEFT + (f64::from(place) + 0.5) * slot, scale.y(*epsilon));
        let (shown, date) = (at_most(*epsilon, 3), date(*start));
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#3a6ea5\"><title>{date}: ε = \
             {shown}</title></rect>",
            middle - width / 2.0,
            BASE - y
        );
        if points.len() <= NUMBERED {
            let y = y - 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{shown}</text>"
            );
        }
        if usize::from(place).is_multiple_of(every) {
            let y = BASE + 18.0;
            let _ = writeln!(
                svg,
                "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{date}</text>"
            );
        }
    }
}

fn limit_line(svg: &mut String, y: f64, limit: f64) {
    let end = WIDTH - RIGHT;
    let _ = writeln!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\" stroke=\"#b03030\" stroke-width=\"1.5\" \
         stroke-dasharray=\"6 4\"/>\n<text x=\"{end}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#b03030\">limit ε = \
         {limit}</text>",
        y - 5.0
    );
}
