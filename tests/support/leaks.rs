//! What is secret in a world, and a look for it where it must not be.

use super::world::World;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fs;

/// Each secret with its name, in the forms in which it might leak.
pub(crate) fn secrets(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets = Vec::new();
    let mut bytes = |name, bytes: &[u8]| {
        let list = format!("{bytes:?}");
        // Without blanks, commas and brackets: hexadecimal.
        let hex = format!("{bytes:02x?}").replace([' ', ',', '[', ']'], "");
        let forms = [hex.to_uppercase(), hex, list, URL_SAFE_NO_PAD.encode(bytes)];
        secrets.extend(forms.map(|form| (name, form.into_bytes())));
        secrets.push((name, bytes.to_vec()));
    };
    for task in &world.tasks {
        bytes("leader token", task.leader_token.as_bytes());
        bytes("leader token", &URL_SAFE_NO_PAD.decode(&task.leader_token).unwrap());
        bytes("collector token", task.collector_token.as_bytes());
        bytes("collector token", &URL_SAFE_NO_PAD.decode(&task.collector_token).unwrap());
        bytes("verify key", task.verify_key.secret_bytes());
        bytes("collector's key", task.collector.secret_bytes());
    }
    for role in ["leader", "helper"] {
        let path = world.folder.path().join(format!("{role}.key"));
        let text = fs::read_to_string(path).unwrap();
        bytes("database key", &URL_SAFE_NO_PAD.decode(text.trim()).unwrap());
    }
    secrets
}

/// Fails if a secret is among the bytes of `place`, and says which.
pub(crate) fn expect_none(secrets: &[(&str, Vec<u8>)], place: &str, bytes: &[u8]) {
    for (name, secret) in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "the {name} is in {place}: {}", String::from_utf8_lossy(secret));
    }
}
