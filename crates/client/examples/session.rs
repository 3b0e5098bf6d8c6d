//! A session with several answers: the app reads what the user seems to like, adapts to it, and asks
//! about the most telling answer only.
//!
//! ```sh
//! cargo run --example session
//! ```

use sottovoce_client::{
    engine::{Comment, Engine, Options},
    event::Event,
    personal::asking::{Candidate, Decision, Moment},
    storage::MemoryStorage,
};
use sottovoce_program::{
    Program,
    answer::{Given, Outcome},
    template::template,
};
use std::{collections::BTreeMap, error::Error, sync::Arc};

/// More of what an app may ask, besides what `sottovoce init` writes.
const MORE: &str = r#"
[metrics.aspects]
kind = "ratings"
question = "How was the answer?"
aspects = ["tone", "length"]
stars = 5

[metrics.went_well]
kind = "score"
question = "How well did it go?"
buckets = [0, 0.25, 0.5, 0.75]
of = "behaviour"
weights = { copied = 1.5, regenerated = -2 }

[metrics.problem]
kind = "triage"
question = "What went wrong?"
categories = ["bug", "retrieval gap", "other"]
rules = [
    { category = "bug", words = ["crash", "error"] },
    { category = "retrieval gap", pattern = "(?i)not in .* docs" },
]
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let text = template(sottovoce_program::ProgramKind::Feedback, "session")? + MORE;
    let program = Arc::new(Program::parse("program.toml", &text)?);
    // A Monday morning. Every call says what time it is.
    let start = 1_799_020_800;
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(program, storage, Options::default(), start)?;
    engine.give_consent(start)?;
    engine.assign("version", "current", start)?;

    // Two drafts were shown; the user took the short one.
    let traits = |length: f64| BTreeMap::from([("length".to_owned(), length)]);
    engine.preferred(&traits(-0.8), &traits(0.6), Outcome::Left, start)?;
    let rated = [("tone".to_owned(), "5 stars".to_owned())].into();
    engine.record(Event::answer("aspects", Given::Ratings(rated)).on("a1"), start)?;
    for leaning in engine.leanings(start) {
        println!(
            "leans {:+.2} in {} (confidence {:.2})",
            leaning.value, leaning.aspect, leaning.confidence
        );
    }

    // Three answers later there is one question to spare: which is worth it?
    let candidate = |response: &str, confidence| Candidate {
        response: response.to_owned(),
        confidence: Some(confidence),
        ..Candidate::default()
    };
    let candidates = vec![candidate("a1", 0.95), candidate("a2", 0.45), candidate("a3", 0.3)];
    match engine.decide(&Moment { candidates }, start + 60)? {
        Decision::Ask(ask) => {
            println!("asks about {}, informativeness {:.2}", ask.response, ask.informativeness);
        }
        decision @ Decision::NotNow(_) => println!("asks nothing: {decision}"),
    }

    // What was done with an answer makes a score of it, and a comment a category.
    engine.record(Event::signal("behaviour", "regenerated").on("a2"), start + 90)?;
    if let Some(score) = engine.score("went_well", "a2", start + 90)? {
        println!("a2 went {:.2} of 1 well", score.value);
    }
    let comment = "This is NOT in any of our docs!";
    let sorted = engine.triage(&Comment::new("problem", comment).on("a2"), start + 120)?;
    println!("the comment is about: {}", sorted.map_or("nothing known".to_owned(), |s| s.category));

    // The user looks at what the app knows, and has it forgotten.
    println!("\n{}", engine.history(start + 150)?);
    engine.forget(start + 160)?;
    println!("{}", engine.history(start + 170)?);
    Ok(())
}
