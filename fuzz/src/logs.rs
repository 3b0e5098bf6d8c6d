//! What logs and witnesses send: entries, notes, checkpoints, proofs, requests, tiles.

use crate::choice;
use sottovoce_dap::codec::{Decode, Encode};
use sottovoce_log::{
    checkpoint::Checkpoint,
    entry::Entry,
    note::{Note, VerifierKey},
    proof::Proof,
    tiles::{TileName, entries, hashes, narrowed},
    witness::Request,
};

/// One piece of a log of the kind that the first byte names.
pub fn logs(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    match kind % 6 {
        0 => entry(bytes),
        1 => note(bytes),
        2 => proof(bytes),
        3 => {
            let _ = Request::parse(bytes);
        }
        4 => key(bytes),
        _ => tile(bytes),
    }
}

fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::from_bytes(bytes) {
        assert_eq!(entry.to_bytes(), bytes, "written as it was read");
        let _ = (entry.key(), entry.to_log());
    }
}

fn note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(Note::parse(note.to_string().as_bytes()).as_ref(), Ok(&note));
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert!(note.text().starts_with(&checkpoint.to_string()), "one spelling");
    }
}

fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::parse(bytes) {
        assert_eq!(Proof::parse(proof.to_string().as_bytes()).as_ref(), Ok(&proof));
    }
}

fn key(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert_eq!(key.to_string().parse().as_ref(), Ok(&key));
    }
}

/// A name and, after a zero byte, what is in the file.
fn tile(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (name, content) = (&bytes[..at], &bytes[at + 1..]);
    let Ok(name) = std::str::from_utf8(name).unwrap_or_default().parse::<TileName>() else {
        return;
    };
    assert_eq!(name.to_string().parse().as_ref(), Ok(&name), "a name has one spelling");
    let _ = (hashes(&name, content), entries(&name, content), narrowed(&name, content));
}
