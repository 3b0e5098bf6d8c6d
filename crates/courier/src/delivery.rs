//! What became of what a client recorded, for the app to act on and for people to read.

use sottovoce_client::{
    Fate,
    engine::{History, Line},
};
use sottovoce_program::format_moment;
use sottovoce_transport::error::TransportError;
use std::fmt;

/// What became of the reports of all windows that were not settled before.
#[derive(Debug)]
#[must_use = "a delivery that failed is not an error: the same reports are sent again later"]
pub enum Delivery {
    /// The leader has each of them, or there was none.
    Delivered(Vec<Line>),
    /// Nothing waits any more, but not all were accepted, or made: each line says what became of its reports.
    NotDelivered(Vec<Line>),
    /// Something is kept on the device or waits to be sent. Deliver again later.
    Pending(Pending),
    /// The user has not agreed to take part, or does not any more: nothing is made or sent.
    NoConsent,
}

/// What is left to do, and why.
#[derive(Debug)]
pub struct Pending {
    /// What became of the reports so far.
    pub reports: Vec<Line>,
    /// Answers that are kept on the device until their window is over.
    pub kept: usize,
    /// Reports that are made and not yet delivered.
    pub waiting: usize,
    /// Requests that had no response, and why. The same bytes are sent again.
    pub unanswered: Vec<TransportError>,
    /// Why reports are held back, a sentence for each reason; empty if they are not.
    pub held_back: Vec<String>,
    /// When to deliver again, in seconds since the Epoch.
    pub next: u64,
}

impl Delivery {
    /// Reports of which none waits.
    pub(crate) fn settled(reports: Vec<Line>) -> Self {
        let delivered = reports.iter().all(|line| line.fate == Fate::Delivered);
        if delivered { Self::Delivered(reports) } else { Self::NotDelivered(reports) }
    }

    pub(crate) fn pending(
        reports: Vec<Line>,
        history: &History,
        unanswered: Vec<TransportError>,
        next: u64,
    ) -> Self {
        let History { kept, waiting, .. } = *history;
        Self::Pending(Pending {
            reports,
            kept,
            waiting,
            unanswered,
            held_back: history.held_back(),
            next,
        })
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered(reports) if reports.is_empty() => {
                f.write_str("Nothing was recorded, and nothing waits.")
            }
            Self::Delivered(reports) => f.write_str(lines(reports).trim_end()),
            Self::NotDelivered(reports) => {
                f.write_str(&lines(reports))?;
                f.write_str("Not all of it was delivered.")
            }
            Self::Pending(pending) => pending.fmt(f),
            Self::NoConsent => {
                f.write_str("Nothing was sent: the user has not agreed to take part.")
            }
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reports, kept, waiting, unanswered, held_back, next } = self;
        f.write_str(&lines(reports))?;
        for error in unanswered {
            writeln!(f, "No response: {error}. The same bytes are sent again.")?;
        }
        for reason in held_back {
            writeln!(f, "{reason}")?;
        }
        let next = format_moment(*next);
        write!(f, "Not sent yet: {kept} answers and {waiting} reports. Next delivery: {next}.")
    }
}

fn lines(reports: &[Line]) -> String {
    reports.iter().map(ToString::to_string).collect()
}
