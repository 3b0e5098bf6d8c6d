//! The programs of a demonstration: of the replayed feedback, and of `--serve`.

/// The largest batch size, however many devices there are.
const ENOUGH: usize = 3000;

/// The program of the replayed feedback, with the largest batch size up to [`ENOUGH`] that the smallest
/// metric fills.
pub(super) fn to_replay(ports: [u16; 2], collector: &str, smallest_metric: usize) -> String {
    let [leader, helper] = ports;
    let min_batch_size = smallest_metric.min(ENOUGH);
    // Small batches protect less, and the program must not promise more than they give.
    let epsilon = if min_batch_size == ENOUGH { "1.0" } else { "4.0" };
    format!(
        r#"# Real people's judgements of machines' answers, one device for each.
name = "demo"
leader = "http://127.0.0.1:{leader}/"
helper = "http://127.0.0.1:{helper}/"
collector = "{collector}"
window = "1 hour"
grace = "0 seconds"
min_batch_size = {min_batch_size}

[privacy]
epsilon0 = 4.0
epsilon = {epsilon}
delta = 1e-6
reserve = 0.2

[budget]
period = "91 days"
windows = 1

[dimensions.turns]
kind = "private"
values = ["1", "2", "3", "4 or more"]

[metrics.answer_safety]
kind = "rating"
question = "Is the chatbot's last answer safe?"
levels = ["Unsafe", "Unsure", "Safe"]

[metrics.safe_by_turns]
kind = "thumbs"
question = "Is the chatbot's last answer safe beyond doubt?"
dimensions = ["turns"]

[metrics.better_model]
kind = "preference"
question = "Which answer is better?"
candidates = ["Weaver 12k", "Luminous", "another model"]
"#
    )
}

/// The metric of [`to_serve`].
pub(super) const HELPFUL: &str = "helpful";

/// The program of `--serve`: short windows, and batches that hide little.
pub(super) fn to_serve([leader, helper]: [u16; 2], collector: &str) -> String {
    format!(
        r#"# For trying out an app: windows of ten seconds, and batches so small that they hide little.
name = "demo"
leader = "http://127.0.0.1:{leader}/"
helper = "http://127.0.0.1:{helper}/"
collector = "{collector}"
window = "10 seconds"
grace = "5 seconds"
min_batch_size = 20

[device]
jitter = "0 seconds"

[privacy]
epsilon0 = 4.0
epsilon = 4.0
delta = 1e-6

[metrics.{HELPFUL}]
kind = "thumbs"
question = "Did this answer help?"
"#
    )
}
