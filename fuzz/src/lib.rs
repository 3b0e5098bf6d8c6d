//! What reads bytes of strangers, as functions that a fuzzer calls.
//!
//! They are plain functions, so that the corpus is replayed without a fuzzer too (`tests/replay.rs`).

mod configurations;
mod database;
mod device;
mod forwarded;
mod from_c;
mod helper;
mod leader;
mod logs;
mod messages;
mod requests;
mod responses;
mod second_decoder;
mod stage;
mod task_files;
mod texts;
mod verification;

pub use configurations::configurations;
pub use database::database;
pub use device::device;
pub use forwarded::forwarded;
pub use from_c::from_c;
pub use helper::helper;
pub use leader::leader;
pub use logs::logs;
pub use messages::messages;
pub use requests::requests;
pub use responses::responses;
pub use second_decoder::second_decoder;
pub use task_files::task_files;
pub use texts::texts;
pub use verification::verification;

/// Each target by the name of its binary and of its folder in the corpus.
pub const TARGETS: [(&str, fn(&[u8])); 15] = [
    ("configurations", configurations),
    ("device", device),
    ("forwarded", forwarded),
    ("messages", messages),
    ("logs", logs),
    ("texts", texts),
    ("responses", responses),
    ("second_decoder", second_decoder),
    ("database", database),
    ("from_c", from_c),
    ("helper", helper),
    ("leader", leader),
    ("requests", requests),
    ("task_files", task_files),
    ("verification", verification),
];

/// The first byte says which of several readers gets the rest.
fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
