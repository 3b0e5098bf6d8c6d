//! Whether to ask the user now, and about what.
//!
//! The app shows a [`Moment`]: one response, or several that it could ask about. What makes a
//! response worth a question is a model that was not sure, or a contradiction with retrieved text;
//! where there is neither, a random share is asked about, because confident responses go wrong too.
//! A cool-down and caps for any 24 hours and any seven days protect the user (`[asking]` of the
//! program, [`AskingPolicy`]).
//!
//! # The most informative first
//!
//! Candidates are ranked by a number from 0 to 1 that says how much an answer would tell. It is a
//! rule of thumb, not an optimal design: four hints, each from 0 to 1, each of which takes away
//! half of its own size from what is missing to 1,
//!
//! ```text
//! informativeness = 1 − (1 − u/2)(1 − c/2)(1 − n/2)(1 − r/2)
//! ```
//!
//! | | hint | if unknown |
//! |---|---|---|
//! | u | uncertainty `4p(1 − p)` at the confidence p: the variance of a yes or no, relative to its largest | 2/3, its mean over all p |
//! | c | the app's score for contradiction | 0 |
//! | n | the app's score for novelty | 0 |
//! | r | `1/(1 + a)`, where a is how often this aspect was asked about lately (half-life four weeks) | 0 |
//!
//! When there are more moments than places, places are kept. The device knows how informative the
//! last 32 moments with a reason were, and how many such moments a day has. As long as `left` places
//! are left and m more such moments are to be expected before the next place becomes free again,
//! only a moment within the top `left/m` of the recent ones is asked about. Places that would
//! otherwise stay unused are given away as the time comes nearer; a device with few moments has no
//! threshold at all, and nor has one that has seen fewer than 8. Moments that are all alike come
//! first, served first.
//!
//! The random share is not ranked, but it may not take the last place of a day. So no answers
//! describe the average response: those to the share describe responses without a reason (as far
//! as caps let it be drawn evenly), the others the moments that were chosen for them. `why` in the
//! decision tells which it was; an app that wants both apart asks two metrics.
//!
//! A decision to ask takes a place at once, so that an app that crashes cannot ask twice;
//! [`Asking::not_shown`] gives it back.

use super::{
    Key,
    clock::{Clock, decay},
    share,
};
use serde::{Deserialize, Serialize};
use sottovoce_program::asking::AskingPolicy;
use std::fmt;

/// One response that could be asked about. Numbers go from 0 to 1; outside of it they count as
/// the nearer end, and NaN as unknown.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Candidate {
    /// The app's name for it, handed back with the decision.
    pub response: String,
    /// The aspect that the question would be about, if it is about one.
    pub aspect: Option<String>,
    /// How sure the model is that its response is right.
    pub confidence: Option<f64>,
    /// How strongly the response contradicts retrieved text.
    pub contradiction: Option<f64>,
    /// How unlike anything before it is.
    pub novelty: Option<f64>,
}

/// A moment in which the app could ask: about one of these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// What could be asked about.
    pub candidates: Vec<Candidate>,
}

impl From<Candidate> for Moment {
    fn from(candidate: Candidate) -> Self {
        Self { candidates: vec![candidate] }
    }
}

/// Ask or not. `Display` says it in a sentence.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Ask now.
    Ask(Ask),
    /// Do not.
    NotNow(NotNow),
}

/// What to ask about, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Which of the moment's candidates, from 0.
    pub index: usize,
    /// Its name.
    pub response: String,
    /// The aspect that it is about, if any.
    pub aspect: Option<String>,
    /// Why this one.
    pub why: Why,
    /// How much an answer would tell, from 0 to 1.
    pub informativeness: f64,
}

/// Why a response is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// The model was less sure than the program's `low_confidence`.
    LowConfidence {
        /// How sure it was.
        confidence: f64,
        /// The program's limit.
        limit: f64,
    },
    /// It contradicts retrieved text more than the program's `contradiction`.
    Contradiction {
        /// The app's score.
        score: f64,
        /// The program's limit.
        limit: f64,
    },
    /// It was drawn into the random share.
    Sample {
        /// The program's `sample`.
        share: f64,
    },
}

/// Why nothing is asked now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotNow {
    /// The reason.
    pub why: WhyNot,
    /// When a question is possible at the earliest, in seconds since the Epoch on the device's
    /// clock as it goes now. It is `now` if only another moment is needed.
    pub earliest: u64,
}

/// Why a moment is left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhyNot {
    /// The moment has no candidates.
    NothingToAsk,
    /// No candidate is uncertain or contradictory enough, and none was drawn.
    NoReason,
    /// The last question was too short a time ago.
    CoolDown {
        /// The program's `cool_down`, in seconds.
        seconds: u64,
    },
    /// The day's questions were asked.
    DailyCap {
        /// The program's `per_day`.
        cap: u32,
    },
    /// The week's questions were asked.
    WeeklyCap {
        /// The program's `per_week`.
        cap: u32,
    },
    /// The places that are left are kept for more informative moments.
    KeptForBetter {
        /// How informative the best candidate is, from 0 to 1.
        informativeness: f64,
        /// The part of recent moments that were more informative.
        beaten_by: f64,
        /// The part at the top that is asked about.
        top: f64,
    },
    /// A random draw does not take the last place of a day.
    KeptFromSample,
}

/// What the device remembers to decide: no texts, at most about 2 KB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    clock: Clock,
    /// When questions were asked, in device time, oldest first: those of the last week.
    asked: Vec<u64>,
    /// How often aspects were asked about, each counting half after [`ASPECT_HALF_LIFE`].
    aspects: Vec<(Key, f64)>,
    /// Whether the last place can be given back, and the aspect of its question.
    can_give_back: bool,
    last_aspect: Option<Key>,
    /// How informative the last moments with a reason were, in thousandths, oldest first.
    recent: Vec<u16>,
    /// How many moments had a reason, each counting half after [`RATE_HALF_LIFE`].
    moments: f64,
}

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
/// Questions remembered, whatever the policy says; the largest that one can say.
const MOST_ASKED: usize = 100;
const MOST_ASPECTS: usize = 48;
const ASPECT_HALF_LIFE: u64 = 28 * DAY;
const MOST_RECENT: usize = 32;
/// Below it there is no telling what is usual.
const FEWEST_RECENT: usize = 8;
const RATE_HALF_LIFE: u64 = 3 * DAY;
/// Of anything that is counted: keeps it finite.
const MOST_COUNTED: f64 = 1e6;

impl Asking {
    /// Whether to ask in this moment. `below(n)` draws a whole number below n uniformly:
    /// [`DeviceRng::below`](sottovoce_privacy::rng::DeviceRng::below). A decision to ask counts as
    /// asked.
    pub fn decide(
        &mut self,
        policy: &AskingPolicy,
        moment: &Moment,
        now: u64,
        below: impl FnMut(u32) -> usize,
    ) -> Decision {
        self.pass(now);
        let with_reason = self.best_with_reason(policy, moment);
        if let Some(best) = &with_reason {
            self.learn(best.informativeness);
        }
        let chosen = with_reason.or_else(|| self.draw(policy, moment, below));
        match self.judge(policy, moment, chosen) {
            Ok(ask) => {
                self.take_place(&ask);
                Decision::Ask(ask)
            }
            Err((why, earliest)) => {
                Decision::NotNow(NotNow { why, earliest: self.when(earliest, now) })
            }
        }
    }

    /// The last question that was decided on was not shown: it does not count. Does nothing the
    /// second time.
    pub fn not_shown(&mut self) {
        if !std::mem::take(&mut self.can_give_back) {
            return;
        }
        self.asked.pop();
        if let Some(key) = self.last_aspect.take()
            && let Some((_, times)) = self.aspects.iter_mut().find(|(aspect, _)| *aspect == key)
        {
            *times = (*times - 1.0).max(0.0);
        }
    }

    /// How informative an answer about a candidate is, from 0 to 1; see the module.
    pub fn informativeness(&self, candidate: &Candidate) -> f64 {
        let uncertainty = share(candidate.confidence).map_or(2.0 / 3.0, |p| 4.0 * p * (1.0 - p));
        let contradiction = share(candidate.contradiction).unwrap_or(0.0);
        let novelty = share(candidate.novelty).unwrap_or(0.0);
        let rarity = candidate.aspect.as_deref().map_or(0.0, |aspect| {
            let key = Key::of(&[aspect]);
            let times = self.aspects.iter().find(|(known, _)| *known == key);
            1.0 / (1.0 + times.map_or(0.0, |(_, times)| *times))
        });
        let missing = [uncertainty, contradiction, novelty, rarity].map(|hint| 1.0 - hint / 2.0);
        1.0 - missing.iter().product::<f64>()
    }

    /// Lets time pass: what is older than a week is forgotten, counts lose weight.
    fn pass(&mut self, now: u64) {
        let step = self.clock.advance(now);
        let passed = self.clock.passed();
        self.asked.retain(|asked| *asked <= passed && passed - asked < WEEK);
        self.moments *= decay(step, RATE_HALF_LIFE);
        for (_, times) in &mut self.aspects {
            *times *= decay(step, ASPECT_HALF_LIFE);
        }
    }

    /// The most informative candidate that the policy gives a reason to ask about.
    fn best_with_reason(&self, policy: &AskingPolicy, moment: &Moment) -> Option<Ask> {
        let asks = moment.candidates.iter().enumerate().filter_map(|(index, candidate)| {
            reason(policy, candidate).map(|why| self.ask(index, candidate, why))
        });
        // The first of equals.
        asks.reduce(|best, ask| if ask.informativeness > best.informativeness { ask } else { best })
    }

    /// One of the others, if the draw says so. Each is drawn with the policy's share.
    fn draw(
        &self,
        policy: &AskingPolicy,
        moment: &Moment,
        mut below: impl FnMut(u32) -> usize,
    ) -> Option<Ask> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a million"
        )]
        let limit = (share(Some(policy.sample))? * f64::from(MILLION)).round() as usize;
        let draws = moment.candidates.iter().enumerate().map(|draw| (below(MILLION), draw));
        // Of several that are drawn, each is the lowest equally often.
        let (drawn, (index, candidate)) = draws.min_by_key(|(drawn, _)| *drawn)?;
        (drawn < limit).then(|| self.ask(index, candidate, Why::Sample { share: policy.sample }))
    }

    fn ask(&self, index: usize, candidate: &Candidate, why: Why) -> Ask {
        Ask {
            index,
            response: candidate.response.clone(),
            aspect: candidate.aspect.clone(),
            why,
            informativeness: self.informativeness(candidate),
        }
    }

    /// The question, or why not and when at the earliest, in device time.
    fn judge(
        &self,
        policy: &AskingPolicy,
        moment: &Moment,
        chosen: Option<Ask>,
    ) -> Result<Ask, (WhyNot, u64)> {
        let free = self.free_from(policy);
        if moment.candidates.is_empty() {
            return Err((WhyNot::NothingToAsk, free.map_or(0, |(_, from)| from)));
        }
        let Some(ask) = chosen else {
            return Err((WhyNot::NoReason, free.map_or(0, |(_, from)| from)));
        };
        if let Some(held) = free {
            return Err(held);
        }
        if policy.informative_first {
            self.keep_places(policy, &ask).map_err(|why| (why, 0))?;
        }
        Ok(ask)
    }

    /// The latest of the limits that hold now, and until when in device time.
    fn free_from(&self, policy: &AskingPolicy) -> Option<(WhyNot, u64)> {
        let passed = self.clock.passed();
        let cool_down = self.asked.last().map(|last| {
            let why = WhyNot::CoolDown { seconds: policy.cool_down };
            (why, last.saturating_add(policy.cool_down))
        });
        let capped = |cap: u32, period: u64, why: WhyNot| {
            // With the cap's number of questions in the period, the oldest of them must leave it.
            let last = self.asked.len().checked_sub(cap.max(1) as usize)?;
            Some((why, self.asked[last].saturating_add(period)))
        };
        let day = capped(policy.per_day, DAY, WhyNot::DailyCap { cap: policy.per_day });
        let week = capped(policy.per_week, WEEK, WhyNot::WeeklyCap { cap: policy.per_week });
        let limits = [cool_down, day, week].into_iter().flatten();
        limits.filter(|(_, until)| *until > passed).max_by_key(|(_, until)| *until)
    }

    /// Keeps places for more informative moments, and the last of a day from random draws.
    fn keep_places(&self, policy: &AskingPolicy, ask: &Ask) -> Result<(), WhyNot> {
        if let Why::Sample { .. } = ask.why {
            let is_last = policy.per_day > 1 && self.left(policy.per_day, DAY) <= 1;
            return if is_last { Err(WhyNot::KeptFromSample) } else { Ok(()) };
        }
        let day = self.top(policy.per_day, DAY);
        let top = day.min(self.top(policy.per_week, WEEK));
        let informativeness = ask.informativeness;
        let beaten_by = self.beaten_by(informativeness);
        if top < 1.0 && beaten_by >= top {
            return Err(WhyNot::KeptForBetter { informativeness, beaten_by, top });
        }
        Ok(())
    }

    fn within(&self, period: u64) -> &[u64] {
        let passed = self.clock.passed();
        let first = self.asked.partition_point(|asked| passed - asked >= period);
        &self.asked[first..]
    }

    fn left(&self, cap: u32, period: u64) -> usize {
        (cap as usize).saturating_sub(self.within(period).len())
    }

    /// The part of moments that the places left suffice for, until one becomes free again.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a week and a hundred places")]
    fn top(&self, cap: u32, period: u64) -> f64 {
        if self.recent.len() < FEWEST_RECENT {
            return 1.0;
        }
        let oldest = self.within(period).first();
        let horizon = oldest.map_or(period, |asked| period - (self.clock.passed() - asked));
        let expected = self.per_second() * horizon as f64;
        // This moment is one of those to come.
        (self.left(cap, period) as f64 / expected.max(1.0)).min(1.0)
    }

    /// How many moments with a reason a second has: a decayed count over the decayed time in which
    /// it was gathered.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn per_second(&self) -> f64 {
        let half_life = RATE_HALF_LIFE as f64;
        let gathered = 1.0 - decay(self.clock.passed().max(3600), RATE_HALF_LIFE);
        self.moments * std::f64::consts::LN_2 / (half_life * gathered)
    }

    /// The part of recent moments that were more informative; equals were not.
    #[expect(clippy::cast_precision_loss, reason = "32 at most")]
    fn beaten_by(&self, informativeness: f64) -> f64 {
        let own = thousandths(informativeness);
        let better = self.recent.iter().filter(|recent| **recent > own).count();
        better as f64 / self.recent.len().max(1) as f64
    }

    fn learn(&mut self, informativeness: f64) {
        self.moments = (self.moments + 1.0).min(MOST_COUNTED);
        if self.recent.len() >= MOST_RECENT {
            self.recent.drain(..=self.recent.len() - MOST_RECENT);
        }
        self.recent.push(thousandths(informativeness));
    }

    fn take_place(&mut self, ask: &Ask) {
        if self.asked.len() >= MOST_ASKED {
            self.asked.drain(..=self.asked.len() - MOST_ASKED);
        }
        self.asked.push(self.clock.passed());
        self.can_give_back = true;
        self.last_aspect = ask.aspect.as_deref().map(|aspect| Key::of(&[aspect]));
        let Some(key) = self.last_aspect else { return };
        if let Some((_, times)) = self.aspects.iter_mut().find(|(known, _)| *known == key) {
            *times = (*times + 1.0).min(MOST_COUNTED);
            return;
        }
        if self.aspects.len() >= MOST_ASPECTS {
            // The one asked about least goes.
            self.aspects.sort_by(|a, b| b.1.total_cmp(&a.1));
            self.aspects.truncate(MOST_ASPECTS - 1);
        }
        self.aspects.push((key, 1.0));
    }

    /// On the device's clock.
    fn when(&self, passed: u64, now: u64) -> u64 {
        if passed > self.clock.passed() { self.clock.when(passed) } else { now }
    }
}

const MILLION: u32 = 1_000_000;

/// Why a candidate is worth a question; a contradiction says more than a doubt.
fn reason(policy: &AskingPolicy, candidate: &Candidate) -> Option<Why> {
    if let Some(score) = share(candidate.contradiction)
        && score > policy.contradiction
    {
        return Some(Why::Contradiction { score, limit: policy.contradiction });
    }
    let confidence = share(candidate.confidence)?;
    let limit = policy.low_confidence;
    (confidence < limit).then_some(Why::LowConfidence { confidence, limit })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number from 0 to 1000"
)]
fn thousandths(share: f64) -> u16 {
    (share.clamp(0.0, 1.0) * 1000.0).round() as u16
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(ask) => write!(f, "ask about {:?}: {}", ask.response, ask.why),
            Self::NotNow(not) => {
                let moment = sottovoce_program::format_moment(not.earliest);
                write!(f, "do not ask: {}; at the earliest at {moment}", not.why)
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LowConfidence { confidence, limit } => {
                write!(f, "the model's confidence is {confidence:.2}, below {limit:.2}")
            }
            Self::Contradiction { score, limit } => {
                write!(f, "it contradicts retrieved text by {score:.2}, above {limit:.2}")
            }
            Self::Sample { share } => {
                write!(f, "it is one of the {:.1} % drawn at random", share * 100.0)
            }
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToAsk => f.write_str("there is nothing to ask about"),
            Self::NoReason => f.write_str(
                "no response is uncertain or contradictory enough, and none was drawn at random",
            ),
            Self::CoolDown { seconds } => {
                write!(f, "the last question was less than {seconds} seconds ago")
            }
            Self::DailyCap { cap } => write!(f, "{cap} questions were asked within 24 hours"),
            Self::WeeklyCap { cap } => write!(f, "{cap} questions were asked within seven days"),
            Self::KeptForBetter { beaten_by, top, .. } => write!(
                f,
                "the questions left are kept for the top {:.0} % of moments, and {:.0} % of recent ones \
                 were more informative",
                top * 100.0,
                beaten_by * 100.0
            ),
            Self::KeptFromSample => {
                f.write_str("the day's last question is not spent on a random draw")
            }
        }
    }
}

#[cfg(test)]
mod tests;
