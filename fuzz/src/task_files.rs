//! What operators and partners write in files beside configurations: task files, secrets, keys.

use crate::{
    choice,
    stage::{STAGE, token},
};
use sottovoce_aggregator::{
    config::{
        from_toml,
        secrets::{HelperSecrets, LeaderSecrets},
    },
    store::sealed::{DatabaseKeys, Place},
    task::{HelperTask, LeaderTask, StoredTask},
    task_file::FromFile,
};
use sottovoce_connections::address::Network;
use sottovoce_dap::bearer_token::BearerToken;
use sottovoce_log::note::KeyName;
use sottovoce_program::Program;
use std::{path::Path, sync::LazyLock};

const PLACE: Place<'_> = Place { table: "task", row: &[7] };

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::parse("device.toml", include_str!("device.toml")).expect("the program is valid")
});

/// One text of the kind that the first byte names.
pub fn task_files(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    if kind % 8 == 0 {
        return sealed(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kind % 8 {
        1 => task::<LeaderTask>(text),
        2 => task::<HelperTask>(text),
        3 => secrets::<LeaderTask>(from_toml::<LeaderSecrets>(Path::new("secrets"), text).ok()),
        4 => secrets::<HelperTask>(from_toml::<HelperSecrets>(Path::new("secrets"), text).ok()),
        5 => database_keys(text),
        6 => bearer(text),
        _ => names(text),
    }
}

/// A task that is taken is found again in the database.
fn task<T: FromFile + StoredTask>(text: &str) {
    let Ok(task) = T::from_task_text(Path::new("task.json"), text) else { return };
    let record = task.to_record(&STAGE.keys).expect("it fits");
    let again = T::from_record(&record, &STAGE.keys).expect("what was written is read");
    let written = again.to_record(&STAGE.keys).expect("it fits");
    assert_eq!((written.id, written.mode, written.public), (record.id, record.mode, record.public));
    let path = task.task().resource_path("x", 1);
    assert!(path.starts_with('/') && path.ends_with("/x/1"), "{path}");
}

fn secrets<T: FromFile>(secrets: Option<T::Secrets>) {
    if let Some(secrets) = secrets {
        assert!(T::from_program(&PROGRAM, &secrets).is_ok(), "good for any program");
    }
}

fn sealed(bytes: &[u8]) {
    assert!(STAGE.keys.open(PLACE, bytes).is_err(), "nobody seals without the key");
}

fn database_keys(text: &str) {
    if let Ok(keys) = text.parse::<DatabaseKeys>() {
        let sealed = keys.seal(PLACE, b"secret").expect("randomness");
        assert_eq!(keys.open(PLACE, &sealed).expect("it is ours").as_slice(), b"secret");
        let again: DatabaseKeys = keys.current().to_text().parse().expect("one spelling");
        assert_eq!(again.current().id(), keys.current().id());
    }
}

/// A header and, if the text is a token, its own.
fn bearer(text: &str) {
    let ours = token("the-token-of-somebody-else");
    if ours.hash().admits(Some(text.as_bytes())) {
        assert!(text.to_ascii_lowercase().starts_with("bearer ") && text.ends_with(ours.secret()));
    }
    if let Ok(token) = BearerToken::new(text.to_owned()) {
        let header = format!("Bearer {}", token.secret());
        assert!(token.hash().admits(Some(header.as_bytes())));
        assert_eq!(ours.hash().admits(Some(header.as_bytes())), text == ours.secret());
    }
}

fn names(text: &str) {
    if let Ok(name) = KeyName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains(['\n', ' ', '+']), "it stands in a line of a note");
    }
    if let Ok(network) = text.parse::<Network>() {
        let _ = (network.contains([192, 0, 2, 1].into()), format!("{network:?}"));
    }
    let _ = sottovoce_program::parse_duration(text);
    let _ = sottovoce_program::parse_moment(text);
}
