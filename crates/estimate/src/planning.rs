//! Before anyone is asked: how precise it will be, and how many devices that takes.
//!
//! A rate from n devices has the variance `λ(1-λ)/(n s²) + σ²/(n s)²`: what the reports make, which
//! falls with n, and what the aggregators' noise makes, which falls with n². Both arms of an
//! experiment are taken to have the same variance. (The number of devices per arm,
//! `2 (z_{1-α/2} + z_{power})² λ(1-λ)/(s² Δ²)` without aggregator noise, is the textbook's, for
//! instance Fleiss 1981, with the randomizer's variance in place of the binomial one.)

use super::{
    aggregator_noise::AggregatorNoise,
    confidence::Confidence,
    covariance::{self, Batch},
    debias::Response,
    error::{EstimateError, within},
    figure::dot,
    interval::{CountNoise, Scope},
    noisy_counts::Channel,
    normal,
    number::{Real, devices},
};
use serde::Serialize;

/// A variance that falls as devices are added: `first/n + second/n²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VarianceLaw {
    /// What one report contributes.
    pub first: f64,
    /// What the aggregators' noise contributes.
    pub second: f64,
}

/// How sure a test shall be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// 1 - α: how often equal arms are not called different.
    pub confidence: Confidence,
    /// How often arms that differ as planned are told apart.
    pub power: f64,
}

impl Test {
    /// 95 % confidence, 80 % power.
    pub const USUAL: Self = Self { confidence: Confidence::USUAL, power: 0.8 };

    /// With a power from 0.5 to 0.999.
    pub fn new(confidence: Confidence, power: f64) -> Result<Self, EstimateError> {
        let power =
            within("power", power, 0.5, 0.999, "a power is a probability from 0.5 to 0.999")?;
        Ok(Self { confidence, power })
    }

    /// How many standard deviations of a difference the difference must have.
    pub fn deviations(&self) -> f64 {
        self.confidence.z() + normal::upper_quantile(1.0 - self.power)
    }
}

impl VarianceLaw {
    /// That of one bin's unbiased rate, if the true rate is `rate` (from 0 to 1).
    pub fn of_rate(
        response: Response,
        aggregators: AggregatorNoise,
        rate: f64,
        scope: Scope,
    ) -> Result<Self, EstimateError> {
        aggregators.check()?;
        let rate = within("rate", rate, 0.0, 1.0, "a rate is a share of devices, from 0 to 1")?;
        let none = AggregatorNoise::None;
        let one = CountNoise { response, reports: 1.0, aggregators: none, scope, repeats: 1.0 };
        let second = aggregators.variance() / (response.contrast() * response.contrast());
        Ok(Self { first: one.deviation_of_rate(rate).powi(2), second })
    }

    /// That of `Σ w_j π̂_j / Σ v_j π̂_j`, to first order, if the true rates of the bins are these:
    /// of a mean, or of a share among those who answer.
    pub fn of_ratio(
        channel: &Channel,
        aggregators: AggregatorNoise,
        rates: &[f64],
        numerator: &[f64],
        denominator: &[f64],
    ) -> Result<Self, EstimateError> {
        for weights in [numerator, denominator] {
            let (given, needed) = (weights.len(), channel.bins());
            if given != needed {
                return Err(EstimateError::Length { what: "weights", given, needed });
            }
        }
        aggregators.check()?;
        for rate in rates {
            within("rate", *rate, 0.0, 1.0, "a rate is a share of devices, from 0 to 1")?;
        }
        let bottom = positive("denominator", dot(rates, denominator))?;
        let value = dot(rates, numerator) / bottom;
        let weights = numerator.iter().zip(denominator);
        let contrast: Vec<f64> = weights.map(|(w, v)| (w - value * v) / bottom).collect();
        let noise = AggregatorNoise::None;
        let scope = Scope::Population;
        let one = Batch { reports: 1.0, aggregators: noise, scope, repeats: 1.0 };
        let second = |(bin, weight): (usize, &f64)| {
            let contrast = channel.response(bin)?.contrast();
            Some(aggregators.variance() * (weight / contrast).powi(2))
        };
        Ok(Self {
            first: covariance::expected(channel, rates, one)?.of_weighted_sum(&contrast),
            second: contrast.iter().enumerate().filter_map(second).sum(),
        })
    }

    /// The law that gave `variance` with `reports` devices, `aggregators_variance` of it by the
    /// aggregators' noise.
    pub fn observed(variance: f64, aggregators_variance: f64, reports: u64) -> Self {
        let n = reports.real();
        let first = (variance - aggregators_variance).max(0.0) * n;
        Self { first, second: aggregators_variance * n * n }
    }

    /// The variance with so many devices, at least 1.
    pub fn at(&self, devices: u64) -> f64 {
        let n = devices.max(1).real();
        (self.first + self.second / n) / n
    }

    /// The expected half width of an interval.
    pub fn half_width(&self, devices: u64, confidence: Confidence) -> f64 {
        confidence.z() * self.at(devices).sqrt()
    }

    /// The fewest devices with which the half width is at most this, above 0.
    pub fn devices_for_half_width(
        &self,
        half_width: f64,
        confidence: Confidence,
    ) -> Result<u64, EstimateError> {
        let half_width = positive("half_width", half_width)?;
        Ok(self.devices_for_variance((half_width / confidence.z()).powi(2)))
    }

    /// The smallest true difference between two arms of so many devices each that the test finds
    /// with its power.
    pub fn detectable_difference(&self, devices_per_arm: u64, test: Test) -> f64 {
        test.deviations() * (2.0 * self.at(devices_per_arm)).sqrt()
    }

    /// The fewest devices in each of two arms with which the test finds this true difference,
    /// above 0, with its power.
    pub fn devices_per_arm(&self, difference: f64, test: Test) -> Result<u64, EstimateError> {
        self.plus(self).devices_for_difference(difference, test)
    }

    /// The law of the sum, or difference, of two values that vary each by itself.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { first: self.first + other.first, second: self.second + other.second }
    }

    /// The fewest devices with which the test finds a difference whose variance this law is.
    pub fn devices_for_difference(
        &self,
        difference: f64,
        test: Test,
    ) -> Result<u64, EstimateError> {
        let difference = positive("difference", difference)?;
        Ok(self.devices_for_variance((difference / test.deviations()).powi(2)))
    }

    /// The positive n with `first/n + second/n² = variance`, rounded up.
    fn devices_for_variance(&self, variance: f64) -> u64 {
        let root = (self.first * self.first + 4.0 * variance * self.second).sqrt();
        devices((self.first + root) / (2.0 * variance))
    }
}

/// The smallest precision that is worth asking for: one in a million.
const FINEST: f64 = 1e-6;

fn positive(parameter: &'static str, value: f64) -> Result<f64, EstimateError> {
    let why = "it must be from one in a million to a million";
    within(parameter, value, FINEST, 1e6, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_privacy::{randomizer::KaryRandomizer, units::Epsilon};

    fn law(bins: u32, epsilon: f64, rate: f64) -> VarianceLaw {
        let randomizer = KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap();
        let response = Response::of(&randomizer);
        VarianceLaw::of_rate(response, AggregatorNoise::None, rate, Scope::Population).unwrap()
    }

    /// PRIVACY.md §5 rounds to the nearest or down; devices do not come in parts.
    #[test]
    fn published_devices_per_arm() {
        let plain = Response::new(1.0, 0.0).unwrap();
        let plain =
            VarianceLaw::of_rate(plain, AggregatorNoise::None, 0.5, Scope::Population).unwrap();
        for (name, law, published) in [
            ("none", plain, [1569, 9811, 39_244]),
            ("k=3, 4", law(3, 4.0, 0.5), [1750, 10_937, 43_748]),
            ("k=3, 3", law(3, 3.0, 0.5), [2098, 13_112, 52_445]),
            ("k=3, 2", law(3, 2.0, 0.5), [3352, 20_948, 83_792]),
            ("k=6, 4", law(6, 4.0, 0.5), [1933, 12_077, 48_305]),
        ] {
            for (difference, published) in [0.05, 0.02, 0.01].into_iter().zip(published) {
                let devices = law.devices_per_arm(difference, Test::USUAL).unwrap();
                assert!(devices.abs_diff(published) <= 1, "{name} {difference}: {devices}");
                assert!(law.detectable_difference(devices, Test::USUAL) <= difference);
                assert!(law.detectable_difference(devices - 1, Test::USUAL) > difference);
            }
        }
    }

    /// PRIVACY.md §4: the price of silence, on the share of up among answers at 70 % up.
    #[test]
    fn published_design_effects_of_the_response_rate() {
        for (epsilon, published) in [
            (4.0, [1.11, 1.16, 1.33, 1.60, 2.14, 3.76, 6.47]),
            (5.0, [1.04, 1.06, 1.12, 1.21, 1.40, 1.97, 2.93]),
            (3.0, [1.32, 1.49, 1.98, 2.81, 4.46, 9.43, 17.7]),
        ] {
            let randomizer = KaryRandomizer::new(3, Epsilon::new(epsilon).unwrap()).unwrap();
            let responses = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
            for (response_rate, published) in responses.into_iter().zip(published) {
                let rates = [0.7 * response_rate, 0.3 * response_rate, 1.0 - response_rate];
                let law = VarianceLaw::of_ratio(
                    &Channel::of(&randomizer),
                    AggregatorNoise::None,
                    &rates,
                    &[1.0, 0.0, 0.0],
                    &[1.0, 1.0, 0.0],
                );
                let effect = law.unwrap().first / (0.7 * 0.3 / response_rate);
                assert!(
                    (effect / published - 1.0).abs() < 0.005,
                    "{epsilon} {response_rate}: {effect}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_planned_is_refused_with_what_can() {
        let law = law(3, 4.0, 0.5);
        for difference in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = law.devices_per_arm(difference, Test::USUAL).unwrap_err();
            let EstimateError::Parameter { nearest, .. } = error else { panic!("{error}") };
            law.devices_per_arm(nearest, Test::USUAL).unwrap();
        }
        assert!(law.devices_for_half_width(0.0, Confidence::USUAL).is_err());
        assert!(Test::new(Confidence::USUAL, 1.0).is_err());
        let response = Response::new(0.9, 0.1).unwrap();
        for rate in [-0.1, 1.1, f64::NAN] {
            let law = VarianceLaw::of_rate(response, AggregatorNoise::None, rate, Scope::Cohort);
            assert!(law.is_err());
        }
    }

    proptest! {
        #[test]
        fn as_many_devices_as_required_are_enough_and_one_less_is_not(
            half_width in 0.001..0.2_f64, variance in 0.0..1000.0_f64, rate in 0.0..1.0_f64
        ) {
            let response = Response::new(0.9, 0.1).unwrap();
            let aggregators = AggregatorNoise::Gaussian { variance };
            for scope in [Scope::Cohort, Scope::Population] {
                let law = VarianceLaw::of_rate(response, aggregators, rate, scope).unwrap();
                let devices = law.devices_for_half_width(half_width, Confidence::USUAL).unwrap();
                let reached = |devices| law.half_width(devices, Confidence::USUAL);
                prop_assert!(reached(devices) <= half_width * (1.0 + 1e-12));
                prop_assert!(devices == 1 || reached(devices - 1) > half_width * (1.0 - 1e-12));
            }
        }
    }
}
