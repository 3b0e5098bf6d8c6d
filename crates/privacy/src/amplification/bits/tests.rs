use super::*;

fn randomizer(bits: u32, epsilon: f64) -> BitRandomizer {
    BitRandomizer::new(bits, Epsilon::new(epsilon).unwrap()).unwrap()
}

fn epsilon(value: f64) -> Epsilon {
    Epsilon::new(value).unwrap()
}

fn delta(value: f64) -> Delta {
    Delta::new(value).unwrap()
}

/// The distribution of a sum of independent bits.
fn sum_of(ones: impl IntoIterator<Item = f64>) -> Vec<f64> {
    ones.into_iter().fold(vec![1.0], |row, one| {
        let mut next = vec![0.0; row.len() + 1];
        for (i, probability) in row.iter().enumerate() {
            next[i] += probability * (1.0 - one);
            next[i + 1] += probability * one;
        }
        next
    })
}

/// The hockey-stick divergence of two distributions.
fn divergence(one: &[f64], other: &[f64], epsilon: f64) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - epsilon.exp() * b).max(0.0)).sum()
}

/// The worst over all that the others may have answered, both directions, by the definition.
fn brute_force(epsilon0: f64, reports: usize, at: f64) -> f64 {
    let keep = epsilon0.exp() / (1.0 + epsilon0.exp());
    let likelihood = |ones: usize, target: bool| {
        let on = |i: usize| if i == 0 { target } else { i <= ones };
        sum_of((0..reports).map(|i| if on(i) { keep } else { 1.0 - keep }))
    };
    let both = (0..reports).flat_map(|ones| {
        let (off, on) = (likelihood(ones, false), likelihood(ones, true));
        [divergence(&on, &off, at), divergence(&off, &on, at)]
    });
    both.fold(0.0, f64::max)
}

#[test]
fn small_batches_agree_with_the_worst_of_all_batches() {
    for (epsilon0, reports) in [(0.5, 1), (1.0, 2), (2.0, 5), (4.0, 13), (1.5, 40)] {
        for at in [0.0, 0.1, 0.4, 1.3, 1.9] {
            let exact = brute_force(epsilon0, reports, at);
            let bound =
                coordinate_delta_upper(&randomizer(1, epsilon0), reports as u64, epsilon(at));
            assert!(
                bound >= exact * (1.0 - 1e-12) && bound <= exact * (1.0 + 1e-6) + 1e-12,
                "n = {reports}, ε0 = {epsilon0}, ε = {at}: {bound} for {exact}"
            );
        }
    }
}

/// A block leaves out all but one of its width, so it is no worse than that many reports fewer.
#[test]
fn blocks_cost_no_more_than_the_reports_they_leave_out() {
    let one = randomizer(1, 2.0);
    let exact = Scan::new(&one, 400, 1e-6);
    for width in [2, 7, 40] {
        let coarse = Scan { width, ..Scan::new(&one, 400, 1e-6) };
        let fewer = Scan::new(&one, 401 - width, 1e-6);
        for at in [0.1, 0.4, 0.9] {
            let (low, bound, high) = (exact.worst(at), coarse.worst(at), fewer.worst(at));
            assert!(bound.delta >= low.delta && bound.delta <= high.delta * (1.0 + 1e-8));
        }
    }
}

/// Two answers are told apart in two coordinates, each by what the others answered there.
#[test]
fn a_choice_among_several_is_bounded_for_any_others() {
    let (epsilon0, reports) = (1.5_f64, 6);
    let keep = epsilon0.exp() / (1.0 + epsilon0.exp());
    let bound = privacy_loss(&randomizer(3, epsilon0), Changed::OneHot, reports, delta(1e-6));
    let bound = bound.unwrap();
    let coordinate = |ones: u64, target: bool| {
        let on = |i: u64| if i == 0 { target } else { i <= ones };
        sum_of((0..reports).map(|i| if on(i) { keep } else { 1.0 - keep }))
    };
    let product = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.iter().flat_map(|x| b.iter().map(move |y| x * y)).collect()
    };
    for at in [0.1, 0.5, 1.5] {
        let mut worst = 0.0_f64;
        for ones in 0..reports {
            for others in 0..reports - ones {
                let before = product(&coordinate(ones, true), &coordinate(others, false));
                let after = product(&coordinate(ones, false), &coordinate(others, true));
                worst = worst.max(divergence(&before, &after, at));
            }
        }
        let bound = bound.delta(at);
        assert!(bound >= worst && bound <= worst * 1.5, "ε = {at}: {bound} for {worst}");
    }
}

/// Every row of the reference values.
#[test]
fn the_bound_agrees_with_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/privacy/reference_values.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = 0;
    for line in text.lines() {
        let field: Vec<&str> = line.split(',').collect();
        let number = |i: usize| field[i].parse::<f64>().unwrap();
        // Larger batches have their place among the slow tests.
        if field[0] == "id" || number(4) > 1000.0 {
            continue;
        }
        let reports = field[4].parse().unwrap();
        let bits = randomizer(2, number(3));
        let bound = match field[1] {
            "brr_exact" => coordinate_epsilon_upper(&bits, reports, delta(number(5))),
            "onehot_bits_corner" => {
                epsilon_upper(&bits, Changed::OneHot, reports, delta(number(5)))
            }
            _ => continue,
        };
        let bound = bound.unwrap().get();
        assert!(bound <= number(6) * 1.002, "{line}: {bound}");
        assert!(bound >= number(6) * (1.0 - 1e-8), "{line}: {bound}");
        rows += 1;
    }
    assert!(rows >= 3, "only {rows} rows");
}

#[test]
fn without_reports_or_delta_there_is_no_amplification() {
    let some = delta(1e-6);
    let bits = randomizer(4, 1.0);
    for changed in [Changed::OneHot, Changed::Free] {
        assert_eq!(epsilon_upper(&bits, changed, 0, some), None);
        assert_eq!(epsilon_upper(&bits, changed, 100, Delta::ZERO), None);
        let one = epsilon_upper(&bits, changed, 1, some).unwrap();
        assert!(one <= bits.epsilon(changed) && one.get() > 0.99);
    }
    assert_eq!(coordinate_epsilon_upper(&bits, 0, some), None);
}
