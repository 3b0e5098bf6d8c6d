//! Our decoders against others, written from the draft's grammar alone: both take a message or
//! neither does.

use crate::choice;
use sottovoce_dap::{codec::Decode, task::TaskConfiguration, upload::UploadRequest};

/// A task configuration or an upload request.
pub fn second_decoder(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    let (ours, theirs) = match kind % 2 {
        0 => (TaskConfiguration::from_bytes(bytes).is_ok(), task_configuration(bytes)),
        _ => (UploadRequest::from_bytes(bytes).is_ok(), upload_request(bytes)),
    };
    assert_eq!(ours, theirs.is_some(), "taken by one decoder alone");
}

/// Takes `len` bytes off the front.
fn bytes<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8], len: usize) -> Option<u64> {
    Some(bytes(rest, len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A vector whose length is a number of `width` bytes.
fn vector<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let len = number(rest, width)?;
    bytes(rest, len.try_into().ok()?)
}

/// `opaque Url<1..2^16-1>` of printable ASCII.
fn url(rest: &mut &[u8]) -> Option<()> {
    let url = vector(rest, 2)?;
    (!url.is_empty() && url.iter().all(|byte| (0x21..=0x7e).contains(byte))).then_some(())
}

/// `struct { uint16 type; opaque data<0..2^16-1>; } Extension extensions<0..2^16-1>`.
fn extensions<'a>(rest: &mut &'a [u8]) -> Option<Vec<(u64, &'a [u8])>> {
    let mut list = vector(rest, 2)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        found.push((number(&mut list, 2)?, vector(&mut list, 2)?));
    }
    Some(found)
}

fn task_configuration(mut rest: &[u8]) -> Option<()> {
    let rest = &mut rest;
    let _task_info = vector(rest, 1)?;
    url(rest)?;
    url(rest)?;
    let precision = number(rest, 8)?;
    let _min_batch_size = number(rest, 8)?;
    let mode = number(rest, 1)?;
    let mode_config = vector(rest, 2)?;
    let kind = number(rest, 4)?;
    let parameters = match kind {
        1 => 0,
        2 | 4 => 8,
        3 | 5 => 16,
        _ => return None,
    };
    let vdaf = vector(rest, 2)?;
    let extensions = extensions(rest)?;
    let is_interval = |data: &[u8]| {
        let mut data = data;
        let (start, duration) = (number(&mut data, 8)?, number(&mut data, 8)?);
        (data.is_empty() && duration > 0).then(|| start.checked_add(duration))?
    };
    let extended = match extensions[..] {
        [] => true,
        [(1, data)] => is_interval(data).is_some(),
        _ => false,
    };
    let valid = precision > 0
        && matches!(mode, 1 | 2)
        && mode_config.is_empty()
        && vdaf.len() == parameters
        && extended
        && rest.is_empty();
    valid.then_some(())
}

fn upload_request(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        report(&mut rest)?;
    }
    Some(())
}

fn report(rest: &mut &[u8]) -> Option<()> {
    let (_id, _time) = (bytes(rest, 16)?, number(rest, 8)?);
    extensions(rest)?;
    let _public_share = vector(rest, 4)?;
    ciphertext(rest)?;
    ciphertext(rest)
}

/// `uint8 config_id; opaque enc<1..2^16-1>; opaque payload<1..2^32-1>`.
fn ciphertext(rest: &mut &[u8]) -> Option<()> {
    let _config_id = number(rest, 1)?;
    let (enc, payload) = (vector(rest, 2)?, vector(rest, 4)?);
    (!enc.is_empty() && !payload.is_empty()).then_some(())
}
