//! What reached the collector: noisy counts, and all that is public about their noise.

use super::{
    aggregator_noise::AggregatorNoise,
    debias::Response,
    error::{EstimateError, at_least, within},
    number::{Real, whole},
    simplex::{self, Projected},
};
use sottovoce_privacy::{
    guarantee::Mechanism,
    randomizer::{BitRandomizer, KaryRandomizer},
};

/// How a device's answer becomes its report.
#[derive(Clone, Debug, PartialEq)]
pub enum Channel {
    /// K-ary randomized response: each report is in exactly one of the bins.
    Kary {
        /// The number of bins k, *no answer* included.
        bins: usize,
        /// The same for each bin; `truth + (k-1)·lie = 1`.
        response: Response,
    },
    /// Bitwise randomized response: a bit for each bin, each flipped by itself.
    Bits {
        /// One for each bin.
        responses: Vec<Response>,
        /// What the bits were before they were flipped.
        answers: Answers,
    },
}

/// What a vector of bits says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Exactly one bit is set: the answer's.
    OneHot,
    /// Any bits are set: signals that go together in ways the totals do not show.
    Free,
}

impl Channel {
    /// That of a k-ary randomizer, from its exact integers.
    pub fn of(randomizer: &KaryRandomizer) -> Self {
        Self::Kary { bins: randomizer.bins() as usize, response: Response::of(randomizer) }
    }

    /// That of any randomizer, from its exact integers.
    pub fn of_mechanism(mechanism: &Mechanism) -> Result<Self, EstimateError> {
        let bits = |randomizer: &BitRandomizer, answers| {
            let response = Response::flipped(randomizer.flip_probability())?;
            Ok(Self::Bits { responses: vec![response; randomizer.bits() as usize], answers })
        };
        match mechanism {
            Mechanism::Krr(randomizer) => Ok(Self::of(randomizer)),
            Mechanism::Bits(randomizer) => bits(randomizer, Answers::OneHot),
            Mechanism::Signals(randomizer) => bits(randomizer, Answers::Free),
        }
    }

    /// K-ary randomized response by its probability of each lie, at least 0 and below `1/bins`.
    pub fn kary(bins: usize, lie: f64) -> Result<Self, EstimateError> {
        let count = at_least(2, "bins", bins)?.real();
        let most = (1.0 - 1e-9) / count;
        let why = "the probability of each lie is at least 0 and below one in the number of bins";
        let lie = within("lie", lie, 0.0, most, why)?;
        Ok(Self::Kary { bins, response: Response::new(1.0 - (count - 1.0) * lie, lie)? })
    }

    /// The number of bins.
    pub fn bins(&self) -> usize {
        match self {
            Self::Kary { bins, .. } => *bins,
            Self::Bits { responses, .. } => responses.len(),
        }
    }

    /// How a bin is reported.
    pub fn response(&self, bin: usize) -> Option<Response> {
        match self {
            Self::Kary { bins, response } => (bin < *bins).then_some(*response),
            Self::Bits { responses, .. } => responses.get(bin).copied(),
        }
    }

    /// Whether each device has exactly one answer, so that the rates of all bins add up to 1.
    pub fn is_exclusive(&self) -> bool {
        !matches!(self, Self::Bits { answers: Answers::Free, .. })
    }

    fn check(&self) -> Result<(), EstimateError> {
        match self {
            Self::Kary { bins, response } => {
                at_least(2, "bins", *bins)?;
                let truth = 1.0 - (bins - 1).real() * response.lie();
                let why = "a k-ary report is in exactly one bin: truth + (bins-1)·lie = 1";
                let (low, high) = (truth - SUM_SLACK, truth + SUM_SLACK);
                within("truth", response.truth(), low, high, why).map(|_| ())
            }
            Self::Bits { responses, .. } if responses.is_empty() => {
                Err(EstimateError::TooFew { what: "bits", given: 0, least: 1 })
            }
            Self::Bits { .. } => Ok(()),
        }
    }
}

/// The noisy counts of one batch.
///
/// Counts are what the aggregators' shares add up to: after the randomizer, and after aggregator
/// noise if there is any, which can leave a count negative or a k-ary sum unlike the number of
/// reports. The number of reports itself is public and exact.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyCounts {
    counts: Vec<i64>,
    reports: u64,
    channel: Channel,
    noise: AggregatorNoise,
    repeats: u64,
}

/// The most reports that floating point counts exactly.
pub const MOST_REPORTS: u64 = 1 << 53;
/// Rounding of k probabilities that add up to 1.
const SUM_SLACK: f64 = 1e-9;
/// Aggregator noise beyond so many standard deviations is a mistake: discrete Laplace noise, the
/// heaviest in use, goes there once in 10^12.
const NOISE_REACH: f64 = 20.0;

impl NoisyCounts {
    /// Counts of `reports` reports through `channel`, with the aggregators' noise.
    pub fn new(
        counts: Vec<i64>,
        reports: u64,
        channel: Channel,
        noise: AggregatorNoise,
    ) -> Result<Self, EstimateError> {
        channel.check()?;
        let needed = channel.bins();
        if counts.len() != needed {
            return Err(EstimateError::Length { what: "counts", given: counts.len(), needed });
        }
        let why = "a batch has from one to 2^53 reports";
        within("reports", reports.real(), 1.0, MOST_REPORTS.real(), why)?;
        noise.check()?;
        let release = Self { counts, reports, channel, noise, repeats: 1 };
        release.check_counts()?;
        release.check_sum()?;
        Ok(release)
    }

    /// The same counts, with up to so many reports of one device among them: those of a batch of
    /// several windows, or of several batches that are looked at together. None is taken as one.
    #[must_use]
    pub fn with_repeats(self, repeats: u64) -> Self {
        Self { repeats: repeats.clamp(1, self.reports), ..self }
    }

    /// The number of bins.
    pub fn bins(&self) -> usize {
        self.counts.len()
    }

    /// The number of reports n.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// The noisy count of each bin.
    pub fn counts(&self) -> &[i64] {
        &self.counts
    }

    /// How answers became reports.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The aggregators' noise in each count.
    pub fn noise(&self) -> AggregatorNoise {
        self.noise
    }

    /// The most reports of one device among them, at least 1. Its answers may be alike, so that as to
    /// the population there are as many fewer devices to learn from.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// The unbiased share of devices with each answer: `(C_j/n - a)/s`. May be negative or above
    /// 1, which is what makes it unbiased.
    pub fn rates(&self) -> Vec<f64> {
        self.bins_with_responses().map(|(_, count, response)| self.rate(count, response)).collect()
    }

    /// Rates that a population can have, to predict variances with: the raw ones moved onto the
    /// simplex, or into `[0, 1]` if signals are free.
    pub fn plausible_rates(&self) -> Vec<f64> {
        let rates = self.rates();
        if self.channel.is_exclusive() {
            simplex::nearest(&rates)
        } else {
            rates.into_iter().map(|rate| rate.clamp(0.0, 1.0)).collect()
        }
    }

    /// The distribution nearest to the rates, to draw it; nothing if signals are free, and so need
    /// not add up to 1.
    pub fn projected(&self) -> Option<Projected> {
        self.channel.is_exclusive().then(|| simplex::project(&self.rates()))
    }

    /// Each bin's index, count and response.
    pub(super) fn bins_with_responses(&self) -> impl Iterator<Item = (usize, f64, Response)> + '_ {
        let response = |bin| self.channel.response(bin);
        let bins = self.counts.iter().enumerate();
        bins.filter_map(move |(bin, count)| Some((bin, count.real(), response(bin)?)))
    }

    /// The number of reports, as a number to calculate with.
    pub(super) fn n(&self) -> f64 {
        self.reports.real()
    }

    fn rate(&self, count: f64, response: Response) -> f64 {
        response.debias(count, self.n()) / self.n()
    }

    /// How far aggregator noise can plausibly have moved a count.
    pub(super) fn noise_reach(&self) -> f64 {
        (NOISE_REACH * self.noise.variance().sqrt()).ceil()
    }

    fn check_counts(&self) -> Result<(), EstimateError> {
        let (low, high) = (-self.noise_reach(), self.n() + self.noise_reach());
        for (bin, count) in self.counts.iter().copied().enumerate() {
            if !(low..=high).contains(&count.real()) {
                let nearest = whole(count.real().clamp(low, high));
                return Err(EstimateError::Count { bin, count, reports: self.reports, nearest });
            }
        }
        Ok(())
    }

    fn check_sum(&self) -> Result<(), EstimateError> {
        if !matches!(self.channel, Channel::Kary { .. }) {
            return Ok(());
        }
        let sum: i128 = self.counts.iter().map(|count| i128::from(*count)).sum();
        let reach = (self.noise_reach() * self.bins().real().sqrt()).ceil();
        if (sum - i128::from(self.reports)).abs() <= i128::from(whole(reach)) {
            return Ok(());
        }
        let slack = if reach > 0.0 { format!(" ± {reach}") } else { String::new() };
        Err(EstimateError::Sum { sum, reports: self.reports, slack })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kary() -> Channel {
        Channel::kary(3, 0.1).unwrap()
    }

    fn laplace(variance: f64) -> AggregatorNoise {
        AggregatorNoise::Laplace { variance }
    }

    fn error(counts: &[i64], reports: u64, noise_variance: f64) -> EstimateError {
        NoisyCounts::new(counts.to_vec(), reports, kary(), laplace(noise_variance)).unwrap_err()
    }

    #[test]
    fn impossible_counts_are_refused_with_the_nearest_possible() {
        let words = error(&[101, 0, -1], 100, 0.0).to_string();
        assert_eq!(
            words,
            "the count of bin 0 = 101 is not possible with 100 reports; the nearest count that \
             works is 100"
        );
        assert!(matches!(error(&[-1, 1, 100], 100, 0.0), EstimateError::Count { nearest: 0, .. }));
        assert!(matches!(error(&[i64::MIN, 1, 1], 100, 1.0), EstimateError::Count { .. }));
        assert!(matches!(error(&[-201, 1, 1], 100, 100.0), EstimateError::Count { .. }));
    }

    #[test]
    fn counts_that_contradict_the_number_of_reports_are_refused() {
        let words = error(&[30, 30, 30], 100, 0.0).to_string();
        assert!(words.contains("add up to 90") && words.ends_with("add up to 100"), "{words}");
        let noisy = NoisyCounts::new(vec![30, 30, 30], 100, kary(), laplace(1.0)).unwrap();
        assert_eq!(noisy.bins(), 3);
        assert!(matches!(error(&[30, 30, 0], 100, 1.0), EstimateError::Sum { sum: 60, .. }));
        let extreme = error(&[i64::MAX, i64::MAX, i64::MAX], MOST_REPORTS, 0.0);
        assert!(matches!(extreme, EstimateError::Count { .. }));
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        assert!(matches!(
            error(&[1, 2], 3, 0.0),
            EstimateError::Length { given: 2, needed: 3, .. }
        ));
        assert!(error(&[0, 0, 0], 0, 0.0).to_string().starts_with("reports = 0"));
        assert!(matches!(error(&[0; 3], u64::MAX, 0.0), EstimateError::Parameter { .. }));
        for variance in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(error(&[1, 1, 1], 3, variance).to_string().starts_with("noise_variance"));
        }
        assert!(Channel::kary(1, 0.1).is_err());
        assert!(Channel::kary(4, 0.25).is_err());
        assert!(Channel::kary(4, f64::NAN).is_err());
    }

    #[test]
    fn a_channel_whose_probabilities_do_not_add_up_is_refused() {
        let response = Response::new(0.9, 0.1).unwrap();
        let channel = Channel::Kary { bins: 3, response };
        assert!(NoisyCounts::new(vec![1, 1, 1], 3, channel, AggregatorNoise::None).is_err());
        let none = Channel::Bits { responses: vec![], answers: Answers::Free };
        assert!(NoisyCounts::new(vec![], 3, none, AggregatorNoise::None).is_err());
    }

    #[test]
    fn bits_need_not_add_up_to_the_reports() {
        let responses = vec![Response::flipped(0.1).unwrap(), Response::flipped(0.25).unwrap()];
        let channel = Channel::Bits { responses, answers: Answers::Free };
        let counts = NoisyCounts::new(vec![90, 50], 100, channel, AggregatorNoise::None).unwrap();
        let rates = counts.rates();
        assert!((rates[0] - 1.0).abs() < 1e-12 && (rates[1] - 0.5).abs() < 1e-12);
    }
}
