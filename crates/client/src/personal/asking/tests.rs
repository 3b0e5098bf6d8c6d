use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_795_417_761;
const HOUR: u64 = 3600;

fn policy() -> AskingPolicy {
    AskingPolicy { cool_down: 0, sample: 0.0, ..AskingPolicy::default() }
}

fn unsure(confidence: f64) -> Moment {
    let response = format!("at {confidence}");
    Candidate { response, confidence: Some(confidence), ..Candidate::default() }.into()
}

fn plain() -> Moment {
    Candidate { response: "plain".into(), ..Candidate::default() }.into()
}

fn never(_: u32) -> usize {
    panic!("nothing should be drawn")
}

/// The largest draw: in no share but the whole.
fn high(bound: u32) -> usize {
    bound as usize - 1
}

fn low(_: u32) -> usize {
    0
}

fn words(decision: &Decision) -> String {
    decision.to_string()
}

fn why_not(decision: &Decision) -> (WhyNot, u64) {
    match decision {
        Decision::NotNow(not) => (not.why, not.earliest),
        Decision::Ask(ask) => panic!("asked about {}", ask.response),
    }
}

fn is_ask(decision: &Decision) -> bool {
    matches!(decision, Decision::Ask(_))
}

#[test]
fn an_empty_moment_is_left_alone() {
    let decision = Asking::default().decide(&policy(), &Moment::default(), NOW, never);
    assert_eq!(why_not(&decision), (WhyNot::NothingToAsk, NOW));
    assert!(words(&decision).contains("nothing to ask about"), "{decision}");
}

#[test]
fn the_limits_themselves_are_no_reason() {
    let policy = policy();
    for (confidence, contradiction) in
        [(Some(0.4), None), (None, Some(0.5)), (Some(f64::NAN), Some(f64::NAN)), (Some(7.0), None)]
    {
        let candidate = Candidate { confidence, contradiction, ..Candidate::default() };
        let decision = Asking::default().decide(&policy, &candidate.into(), NOW, high);
        assert_eq!(why_not(&decision), (WhyNot::NoReason, NOW));
        assert!(words(&decision).contains("uncertain or contradictory enough"), "{decision}");
    }
}

#[test]
fn doubt_contradiction_and_draws_are_reasons_that_say_themselves() {
    let contradicted = Candidate {
        response: "r".into(),
        contradiction: Some(0.9),
        confidence: Some(0.1),
        ..Candidate::default()
    };
    let sampled = AskingPolicy { sample: 0.05, ..policy() };
    for (policy, moment, draw, expected) in [
        (policy(), unsure(0.3), 1, "about \"at 0.3\": the model's confidence is 0.30, below 0.40"),
        (policy(), contradicted.into(), 1, "contradicts retrieved text by 0.90, above 0.50"),
        (sampled, plain(), 49_999, "one of the 5.0 % drawn at random"),
    ] {
        let decision = Asking::default().decide(&policy, &moment, NOW, |_| draw);
        assert!(is_ask(&decision) && words(&decision).contains(expected), "{decision}");
    }
}

#[test]
fn the_random_share_is_the_programs() {
    let sampled = AskingPolicy { sample: 0.05, ..policy() };
    let decision = Asking::default().decide(&sampled, &plain(), NOW, |_| 50_000);
    assert_eq!(why_not(&decision).0, WhyNot::NoReason);
    let nobody = Asking::default().decide(&policy(), &plain(), NOW, low);
    assert_eq!(why_not(&nobody).0, WhyNot::NoReason);
    let all = AskingPolicy { sample: 1.0, ..policy() };
    assert!(is_ask(&Asking::default().decide(&all, &plain(), NOW, high)));
}

#[test]
fn a_draw_takes_whichever_candidate_drew_lowest() {
    let all = AskingPolicy { sample: 1.0, ..policy() };
    let named = |response: &str| Candidate { response: response.into(), ..Candidate::default() };
    let moment = Moment { candidates: vec![named("a"), named("b"), named("c")] };
    let mut draws = [700, 200, 400].into_iter();
    let decision = Asking::default().decide(&all, &moment, NOW, |_| draws.next().unwrap());
    assert!(matches!(decision, Decision::Ask(ask) if ask.response == "b" && ask.index == 1));
}

#[test]
fn the_cool_down_says_when_it_ends() {
    let policy = AskingPolicy { cool_down: HOUR, ..policy() };
    let mut asking = Asking::default();
    assert!(is_ask(&asking.decide(&policy, &unsure(0.2), NOW, never)));
    let soon = asking.decide(&policy, &unsure(0.2), NOW + HOUR - 1, never);
    assert_eq!(why_not(&soon), (WhyNot::CoolDown { seconds: HOUR }, NOW + HOUR));
    assert!(words(&soon).ends_with("at the earliest at 2026-11-23T08:09:21Z"), "{soon}");
    assert!(is_ask(&asking.decide(&policy, &unsure(0.2), NOW + HOUR, never)));
}

#[test]
fn caps_hold_over_any_day_and_any_week() {
    let policy = AskingPolicy { per_week: 5, informative_first: false, ..policy() };
    let mut asking = Asking::default();
    let mut asked = Vec::new();
    for hour in 0..24 * 21 {
        if is_ask(&asking.decide(&policy, &unsure(0.2), NOW + hour * HOUR, never)) {
            asked.push(hour);
        }
    }
    for (hours, cap) in [(24, 3), (168, 5)] {
        let most = (0..24 * 21)
            .map(|from| asked.iter().filter(|hour| (from..from + hours).contains(*hour)).count());
        assert_eq!(most.max(), Some(cap), "{asked:?}");
    }
    assert_eq!(asked.len(), 15);
}

#[test]
fn caps_say_when_they_end() {
    let policy = AskingPolicy { per_week: 4, ..policy() };
    let mut asking = Asking::default();
    for hour in 0..3 {
        assert!(is_ask(&asking.decide(&policy, &unsure(0.2), NOW + hour * HOUR, never)));
    }
    let day = asking.decide(&policy, &unsure(0.2), NOW + 3 * HOUR, never);
    assert_eq!(why_not(&day), (WhyNot::DailyCap { cap: 3 }, NOW + DAY));
    assert!(words(&day).contains("3 questions were asked within 24 hours"), "{day}");
    assert!(is_ask(&asking.decide(&policy, &unsure(0.2), NOW + DAY, never)));
    let week = asking.decide(&policy, &unsure(0.2), NOW + 2 * DAY, never);
    assert_eq!(why_not(&week), (WhyNot::WeeklyCap { cap: 4 }, NOW + WEEK));
    assert!(words(&week).contains("4 questions were asked within seven days"), "{week}");
}

#[test]
fn a_wrong_clock_locks_nobody_out() {
    let policy = AskingPolicy { cool_down: HOUR, ..policy() };
    for wrong in [u64::MAX, NOW + 100 * 365 * DAY, 0] {
        let mut asking = Asking::default();
        asking.decide(&policy, &unsure(0.2), NOW, never);
        asking.decide(&policy, &unsure(0.2), wrong, never);
        // Right again: the cool-down runs from here.
        asking.decide(&policy, &unsure(0.2), NOW + 1, never);
        let decision = asking.decide(&policy, &unsure(0.2), NOW + 1 + HOUR, never);
        assert!(is_ask(&decision), "{wrong}: {decision}");
    }
}

#[test]
fn going_back_in_time_opens_no_place() {
    let policy = AskingPolicy { per_day: 1, per_week: 1, ..policy() };
    let mut asking = Asking::default();
    assert!(is_ask(&asking.decide(&policy, &unsure(0.2), NOW, never)));
    for back in [1, HOUR, 2 * HOUR, 30 * DAY, NOW] {
        let decision = asking.decide(&policy, &unsure(0.2), NOW - back, never);
        assert!(matches!(why_not(&decision).0, WhyNot::DailyCap { .. } | WhyNot::WeeklyCap { .. }));
    }
}

#[test]
fn a_question_that_was_not_shown_gives_its_place_back_once() {
    let policy = AskingPolicy { per_day: 2, informative_first: false, ..policy() };
    let mut asking = Asking::default();
    asking.decide(&policy, &unsure(0.1), NOW, never);
    asking.decide(&policy, &unsure(0.1), NOW, never);
    asking.not_shown();
    asking.not_shown();
    assert!(is_ask(&asking.decide(&policy, &unsure(0.1), NOW, never)));
    assert!(!is_ask(&asking.decide(&policy, &unsure(0.1), NOW, never)));
}

#[test]
fn what_would_tell_most_is_asked_about() {
    let with = |change: fn(&mut Candidate)| {
        let mut candidate = Candidate { confidence: Some(0.2), ..Candidate::default() };
        change(&mut candidate);
        Asking::default().informativeness(&candidate)
    };
    let base = with(|_| {});
    assert!((base - 0.32).abs() < 1e-12);
    assert!((with(|c| c.confidence = None) - 1.0 / 3.0).abs() < 1e-12);
    for better in [
        with(|c| c.confidence = Some(0.35)),
        with(|c| c.contradiction = Some(0.4)),
        with(|c| c.novelty = Some(0.4)),
        with(|c| c.aspect = Some("tone".into())),
    ] {
        assert!(better > base, "{better}");
    }
    let (mut dull, mut rich) = (unsure(0.05).candidates, unsure(0.35).candidates);
    dull.append(&mut rich);
    let decision = Asking::default().decide(&policy(), &Moment { candidates: dull }, NOW, never);
    assert!(matches!(decision, Decision::Ask(ask) if ask.index == 1));
}

#[test]
fn an_aspect_asked_about_lately_tells_less() {
    let about = |aspect: &str| {
        let response = aspect.to_owned();
        let aspect = Some(aspect.to_owned());
        Candidate { response, aspect, confidence: Some(0.2), ..Candidate::default() }
    };
    let moment = Moment { candidates: vec![about("tone"), about("safety")] };
    let mut asking = Asking::default();
    let chosen: Vec<_> = (0..3)
        .map(|day| match asking.decide(&policy(), &moment, NOW + day * DAY, never) {
            Decision::Ask(ask) => ask.response,
            Decision::NotNow(not) => panic!("{not:?}"),
        })
        .collect();
    assert_eq!(chosen, ["tone", "safety", "tone"]);
}

/// The confidence of one moment in each half hour for two weeks, and how many questions each of
/// `dull` and `rich` got in the second.
fn compete(policy: &AskingPolicy, rich_every: u64) -> (u32, u32) {
    let (mut dull, mut rich) = (0, 0);
    let mut asking = Asking::default();
    for half_hour in 0..2 * 14 * 24 {
        let is_rich = half_hour % rich_every == rich_every - 1;
        let moment = unsure(if is_rich { 0.39 } else { 0.02 });
        let asked = is_ask(&asking.decide(policy, &moment, NOW + half_hour * HOUR / 2, never));
        if asked && half_hour >= 2 * 7 * 24 {
            *(if is_rich { &mut rich } else { &mut dull }) += 1;
        }
    }
    (dull, rich)
}

#[test]
fn places_are_kept_for_informative_moments() {
    let policy = AskingPolicy { per_week: 21, ..policy() };
    let first_come = AskingPolicy { informative_first: false, ..policy.clone() };
    let (_, rich) = compete(&first_come, 12);
    assert!(rich <= 7, "first come, first served: {rich} of 21");
    let (dull, rich) = compete(&policy, 12);
    assert!(rich >= 18 && dull + rich <= 21, "{rich} informative, {dull} others");
}

#[test]
fn kept_places_are_not_wasted_when_nothing_better_comes() {
    let (dull, _) = compete(&AskingPolicy { per_week: 21, ..policy() }, u64::MAX);
    assert!(dull >= 18, "{dull}");
}

#[test]
fn a_place_is_given_away_shortly_before_another_becomes_free() {
    let generous =
        AskingPolicy { per_day: 24, per_week: 100, informative_first: false, ..policy() };
    let strict = AskingPolicy { per_day: 2, informative_first: true, ..generous.clone() };
    let mut asking = Asking::default();
    for quarter in 0..36 {
        let moment = unsure(if quarter % 2 == 0 { 0.39 } else { 0.02 });
        asking.decide(&generous, &moment, NOW + quarter * 6 * HOUR, never);
    }
    let later = NOW + 10 * DAY;
    assert!(is_ask(&asking.decide(&strict, &unsure(0.39), later, never)));
    let early = asking.decide(&strict, &unsure(0.02), later + 6 * HOUR, never);
    assert!(matches!(why_not(&early).0, WhyNot::KeptForBetter { .. }), "{early}");
    let late = asking.decide(&strict, &unsure(0.02), later + 18 * HOUR, never);
    assert!(is_ask(&late), "{late}");
}

#[test]
fn keeping_a_place_says_so() {
    let policy = policy();
    let mut asking = Asking::default();
    let decisions: Vec<_> = (0..40)
        .map(|i| asking.decide(&policy, &unsure(if i % 2 == 0 { 0.39 } else { 0.02 }), NOW, never))
        .collect();
    let decision = asking.decide(&policy, &unsure(0.01), NOW + 2 * DAY, never);
    let (why, earliest) = why_not(&decision);
    assert!(matches!(why, WhyNot::KeptForBetter { .. }) && earliest == NOW + 2 * DAY, "{why:?}");
    assert!(words(&decision).contains("of recent ones were more informative"), "{decision}");
    assert_eq!(decisions.iter().filter(|decision| is_ask(decision)).count(), 3);
}

#[test]
fn a_random_draw_does_not_take_the_last_place_of_a_day() {
    let policy = AskingPolicy { sample: 1.0, ..policy() };
    let mut asking = Asking::default();
    assert!(is_ask(&asking.decide(&policy, &plain(), NOW, low)));
    assert!(is_ask(&asking.decide(&policy, &plain(), NOW, low)));
    let decision = asking.decide(&policy, &plain(), NOW, low);
    assert_eq!(why_not(&decision), (WhyNot::KeptFromSample, NOW));
    assert!(words(&decision).contains("not spent on a random draw"), "{decision}");
    assert!(is_ask(&asking.decide(&policy, &unsure(0.3), NOW, never)));
}

fn any_share() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(prop_oneof![any::<f64>(), 0.0..1.0])
}

prop_compose! {
    fn any_candidate()(aspect: Option<u8>, confidence in any_share(), contradiction in any_share(),
                       novelty in any_share()) -> Candidate {
        let aspect = aspect.map(|aspect| aspect.to_string());
        Candidate { response: String::new(), aspect, confidence, contradiction, novelty }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_state_stays_small_and_finite(
        moments in proptest::collection::vec(
            (proptest::collection::vec(any_candidate(), 0..3),
             prop_oneof![any::<u64>(), NOW..NOW + WEEK], any::<usize>()), 1..200),
        per_day in 1_u32..=24, cool_down in prop_oneof![Just(0), any::<u64>()],
        sample in any::<f64>(),
    ) {
        let policy = AskingPolicy { per_day, cool_down, per_week: 100, sample, ..policy() };
        let mut asking = Asking::default();
        for (candidates, now, draw) in moments {
            let decision = asking.decide(&policy, &Moment { candidates }, now, |_| draw);
            prop_assert!(!decision.to_string().contains("NaN"));
            match decision {
                Decision::Ask(ask) => prop_assert!((0.0..=1.0).contains(&ask.informativeness)),
                Decision::NotNow(not) => prop_assert!(not.earliest >= now),
            }
            prop_assert!(asking.moments.is_finite());
            prop_assert!(asking.aspects.iter().all(|(_, times)| (0.0..=MOST_COUNTED).contains(times)));
            prop_assert!(asking.within(DAY).len() <= per_day as usize);
        }
        let bytes = bincode::serde::encode_to_vec(&asking, bincode::config::standard()).unwrap();
        prop_assert!(bytes.len() <= 2048, "{} bytes", bytes.len());
        let (back, _): (Asking, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(back, asking);
    }
}
