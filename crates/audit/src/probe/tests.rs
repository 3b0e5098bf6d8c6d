//! The right client and wrong ones. Their randomness is the system's, which no seed reaches: a false
//! alarm has a probability of one in a million here.

use super::{
    client::{Library, Retried},
    reader::payload,
    *,
};
use rand::{RngExt, rng};
use sottovoce_client::{
    hpke_configs::HpkeConfigs,
    report::{Drawn, Reporter},
};
use sottovoce_dap::{
    codec::{Decode, Encode},
    extension::UncheckedExtensions,
    ids::ReportId,
    time::Time,
    upload::{PlaintextInputShare, ReportMetadata},
};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{Program, answer::Answer};
use std::mem;

const SURE: f64 = 1.0 - 1e-6;

fn program(metrics: &str) -> Program {
    let text = format!(
        r#"
        name = "probed"
        leader = "https://leader.example/"
        helper = "https://helper.example/"
        collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
        window = "1 day"
        min_batch_size = 5000
        {metrics}
        "#
    );
    Program::parse("probed.toml", &text).unwrap()
}

/// Five bins by a choice, where the noise is loud enough for a test that is quick.
pub(super) fn rating() -> Program {
    program(
        "[privacy]\nepsilon0 = 2.0\nepsilon = 4.0\n[metrics.quality]\nkind = \"rating\"\n\
         question = \"How good?\"\nstars = 4\nrandomizer = \"krr\"",
    )
}

/// What is wrong with a client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// Some lies are taken back.
    Quiet,
    /// Each draw is used for two reports.
    Twice,
    /// A retry draws anew.
    Retry,
    /// A retry says the same and has an ID of its own.
    Renew,
    /// The same report again, as another one.
    Same,
    /// The same report as the first after each start.
    Start,
}

struct Cheat<'a> {
    reporter: Reporter,
    configs: &'a HpkeConfigs,
    wrong: Wrong,
    begins: bool,
    first: Option<Vec<u8>>,
}

impl<'a> Cheat<'a> {
    fn new(task: &CompiledTask, aggregators: &'a TestAggregators, wrong: Wrong) -> Self {
        let reporter = Reporter::new(task).unwrap();
        Self { reporter, configs: aggregators.configs(), wrong, begins: true, first: None }
    }

    fn draw(&self, answer: &Answer) -> Drawn {
        let mut rng = DeviceRng::new().unwrap();
        self.reporter.draw(answer, sottovoce_dap::time::Time(20_000), &mut rng).unwrap()
    }

    /// A draw that says the same, in another report.
    fn like(&self, drawn: &Drawn, answer: &Answer) -> Drawn {
        loop {
            let other = self.draw(answer);
            if other.measurement() == drawn.measurement() {
                return other;
            }
        }
    }

    fn seal(&self, drawn: &Drawn) -> Vec<u8> {
        self.reporter.seal(drawn, self.configs).unwrap().bytes().to_vec()
    }
}

impl Client for Cheat<'_> {
    fn restart(&mut self) -> Result<(), ClientError> {
        self.begins = true;
        Ok(())
    }

    fn reports(&mut self, answers: &[&Answer], _: Instant) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut reports = Vec::new();
        let mut last: Option<(&Answer, Drawn)> = None;
        for answer in answers {
            let mut drawn = self.draw(answer);
            match self.wrong {
                // Draws once more now and then: a lie that is drawn again is seldom one.
                Wrong::Quiet if rng().random_bool(0.2) => drawn = self.draw(answer),
                Wrong::Quiet if rng().random_bool(0.2) => {
                    let other = self.draw(answer);
                    let truth = self.draw(answer);
                    let is_truth = truth.measurement() == other.measurement();
                    drawn = if is_truth { truth } else { drawn };
                }
                Wrong::Twice => {
                    if let Some((before, draw)) = last.take().filter(|(before, _)| before == answer)
                    {
                        let _ = before;
                        drawn = self.like(&draw, answer);
                    } else {
                        last = Some((answer, drawn.clone()));
                    }
                }
                _ => {}
            }
            reports.push(self.seal(&drawn));
        }
        if self.wrong == Wrong::Same && reports.len() > 3 {
            reports[3] = reports[2].clone();
        }
        if self.wrong == Wrong::Start && mem::take(&mut self.begins) {
            reports[0] = self.first.get_or_insert(reports[0].clone()).clone();
        }
        Ok(reports)
    }

    fn retried(&mut self, answer: &Answer, _: Instant) -> Result<Option<Retried>, ClientError> {
        let first = self.draw(answer);
        let again = match self.wrong {
            Wrong::Retry => self.draw(answer),
            Wrong::Renew => self.like(&first, answer),
            _ => first.clone(),
        };
        Ok(Some([self.seal(&first), self.seal(&again)]))
    }
}

fn limits(reports: u64, precision: f64) -> Limits {
    Limits { confidence: SURE, precision, reports, time: Duration::from_secs(600) }
}

fn probed(program: &Program, wrong: Option<Wrong>, limits: Limits) -> Outcome {
    let task = &program.tasks()[0];
    let aggregators = TestAggregators::new(task).unwrap();
    let mut client: Box<dyn Client> = match wrong {
        Some(wrong) => Box::new(Cheat::new(task, &aggregators, wrong)),
        None => Box::new(Library::new(task, &aggregators).unwrap()),
    };
    probe(task, &aggregators, client.as_mut(), limits, &mut |_, _| {}).unwrap()
}

fn rules(outcome: &Outcome) -> Vec<&'static str> {
    outcome.judgement.faults.iter().map(|fault| fault.rule).collect()
}

#[test]
fn the_shipped_client_is_certified() {
    let outcome = probed(&rating(), None, limits(200_000, 0.15));
    assert_eq!(outcome.verdict, Verdict::Certified, "{outcome:#?}");
    let bound = outcome.judgement.epsilon_at_least;
    assert!((1.7..=2.0).contains(&bound), "{bound}");
}

#[test]
fn a_client_that_lies_too_seldom_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Quiet), limits(100_000, 0.01));
    assert!(rules(&outcome).contains(&"flip-probability"), "{outcome:#?}");
}

#[test]
fn a_client_that_uses_a_draw_twice_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Twice), limits(20_000, 0.01));
    assert!(rules(&outcome).contains(&"dependent"), "{outcome:#?}");
}

#[test]
fn a_client_that_draws_again_on_a_retry_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Retry), limits(5_000, 0.01));
    assert_eq!(rules(&outcome), ["redrawn-on-retry", "new-id-on-retry"]);
    assert_eq!(outcome.verdict, Verdict::Faulty);
}

#[test]
fn a_client_that_takes_a_new_id_on_a_retry_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Renew), limits(5_000, 0.01));
    assert_eq!(rules(&outcome), ["new-id-on-retry"]);
}

#[test]
fn a_client_that_shards_a_draw_again_is_found() {
    let program = rating();
    let task = &program.tasks()[0];
    let aggregators = TestAggregators::new(task).unwrap();
    let mut client = Library::new(task, &aggregators).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let [first, again] = client.retried(&Answer::none(), until).unwrap().unwrap();
    let [first, mut again] = [first, again].map(|report| aggregators.open(&report).unwrap());
    assert_eq!((first.id(), first.shares()), (again.id(), again.shares()), "the same report");
    assert!(first.keys().zip(again.keys()).all(|(one, other)| one != other), "sealed afresh");
    let inputs = inputs::of(task);
    let mut tally = Tally::new(&task.randomizer().mechanism, &inputs);
    tally.retried(&first, &again);
    assert_eq!((tally.resharded.hits, tally.repeated), (0, 0));
    again.fresh[3][0] ^= 1;
    tally.retried(&first, &again);
    let judgement = judge(&task.randomizer().mechanism, &inputs, &tally, 0.01);
    assert!(judgement.faults.iter().any(|fault| fault.rule == "new-shares-on-retry"));
}

#[test]
fn extensions_are_no_place_to_hide_an_answer() {
    let mut metadata = ReportMetadata {
        report_id: ReportId::new([1; 16]),
        time: Time(20_000),
        public_extensions: UncheckedExtensions::default(),
    };
    let plain = PlaintextInputShare {
        private_extensions: UncheckedExtensions::default(),
        payload: vec![5; 32].try_into().unwrap(),
    };
    assert_eq!(payload(&metadata, &plain.to_bytes()).unwrap(), [5; 32]);
    metadata.public_extensions = UncheckedExtensions::from_bytes(&[0, 5, 0, 9, 0, 1, 1]).unwrap();
    let error = payload(&metadata, &plain.to_bytes()).unwrap_err();
    assert!(matches!(error, ReadError::Extensions), "{error}");
}

#[test]
fn a_client_that_sends_a_report_twice_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Same), limits(5_000, 0.01));
    assert!(rules(&outcome).contains(&"randomness-reused"), "{outcome:#?}");
}

#[test]
fn a_client_that_begins_alike_whenever_it_is_started_is_found() {
    let outcome = probed(&rating(), Some(Wrong::Start), limits(9_000, 0.01));
    assert!(rules(&outcome).contains(&"randomness-reused"), "{outcome:#?}");
    assert!(outcome.reports > 4096, "{}", outcome.reports);
}

#[test]
fn bits_and_signals_are_probed_too() {
    let bits = "[privacy]\nepsilon0 = 2.0\nepsilon = 4.0\n[metrics.helpful]\nkind = \"thumbs\"\n\
                question = \"Did it help?\"\nrandomizer = \"bits\"";
    let signals = "[privacy]\nepsilon0 = 2.0\nepsilon = 4.0\n[metrics.behaviour]\nkind = \"signals\"\n\
                   question = \"What?\"\nsignals = [\"copied\", \"edited\"]";
    for metrics in [bits, signals] {
        let outcome = probed(&program(metrics), None, limits(70_000, 0.2));
        assert_eq!(outcome.verdict, Verdict::Certified, "{outcome:#?}");
    }
}

#[test]
fn what_was_not_proved_within_the_limits_is_not_called_right() {
    let outcome = probed(&rating(), None, limits(4_096, 0.001));
    assert_eq!(outcome.verdict, Verdict::Undecided);
}

#[test]
fn a_report_that_cannot_be_opened_says_why() {
    let (program, other) = (rating(), rating());
    let task = &program.tasks()[0];
    let aggregators = TestAggregators::new(task).unwrap();
    let strangers = TestAggregators::new(&other.tasks()[0]).unwrap();
    let cheat = Cheat::new(task, &strangers, Wrong::Same);
    let report = cheat.seal(&cheat.draw(&Answer::none()));
    let error = aggregators.open(&report).unwrap_err();
    assert!(matches!(error, ReadError::Open { .. }), "{error}");
    assert!(matches!(aggregators.open(&report[..20]), Err(ReadError::Decode(_))));
}
