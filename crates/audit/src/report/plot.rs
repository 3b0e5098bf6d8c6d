//! The budget spent over time, as a picture without a script.

use sottovoce_privacy::{shown::at_most, units::TrustModel};
use sottovoce_program::format_moment;
use std::fmt::Write;

/// What each period came to, and the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Start of each period, in seconds since the Epoch, and its ε.
    pub points: Vec<(u64, f64)>,
    /// The ε that the program declares for a period.
    pub limit: Option<f64>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 40.0;
/// Periods that are drawn: the last ones.
const MOST: usize = 40;

impl Plot {
    /// As SVG, with a description for whoever does not see it.
    pub fn svg(&self) -> String {
        let points = &self.points[self.points.len().saturating_sub(MOST)..];
        let highest =
            points.iter().map(|(_, epsilon)| *epsilon).chain(self.limit).fold(0.1, f64::max);
        let scale = (HEIGHT - 2.0 * MARGIN) / (highest * 1.1);
        let y = |epsilon: f64| HEIGHT - MARGIN - epsilon * scale;
        #[expect(clippy::cast_precision_loss, reason = "at most forty")]
        let step = (WIDTH - 2.0 * MARGIN) / points.len().max(1) as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">\n",
            self.words()
        );
        let base = HEIGHT - MARGIN;
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" y1=\"{base}\" x2=\"{:.1}\" y2=\"{base}\" stroke=\"#444\"/>",
            WIDTH - MARGIN
        );
        for (index, (start, epsilon)) in (0_u16..).zip(points) {
            let x = MARGIN + f64::from(index) * step;
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#3a6ea5\"><title>{}: ε = \
                 {}</title></rect>",
                x + 2.0,
                y(*epsilon),
                (step - 4.0).max(1.0),
                base - y(*epsilon),
                format_moment(*start),
                at_most(*epsilon, 3)
            );
        }
        if let Some(limit) = self.limit {
            let _ = writeln!(
                svg,
                "<line x1=\"{MARGIN}\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"#b03030\" \
                 stroke-dasharray=\"6 4\"/>\n<text x=\"{MARGIN}\" y=\"{2:.1}\" font-size=\"12\" fill=\"#b03030\">limit ε = \
                 {limit}</text>",
                y(limit),
                WIDTH - MARGIN,
                y(limit) - 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"12\">ε of each period, {}, from {}</text>\n</svg>",
            HEIGHT - 12.0,
            TrustModel::Oamc.named(),
            points
                .first()
                .map_or_else(|| "nothing yet".to_owned(), |(start, _)| format_moment(*start))
        );
        svg
    }

    /// In one line of words.
    pub fn words(&self) -> String {
        let most = self.points.iter().map(|(_, epsilon)| *epsilon).fold(0.0, f64::max);
        let limit =
            self.limit.map_or_else(String::new, |limit| format!("; the declared limit is {limit}"));
        format!(
            "Privacy budget spent over {} periods: maximum ε = {}{limit}",
            self.points.len(),
            at_most(most, 3)
        )
    }
}
