//! The program that the demonstration's devices answer.

/// Batches need no more than this, however many devices there are.
const ENOUGH: usize = 3000;

/// The program file, with the least batch that the smallest metric fills.
pub(super) fn text(ports: [u16; 2], collector: &str, smallest_metric: usize) -> String {
    let [leader, helper] = ports;
    let min_batch_size = smallest_metric.min(ENOUGH);
    // Few devices hide less well, and the program must not promise more than they can keep.
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
