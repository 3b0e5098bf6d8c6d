//! A program as a device takes it: the file in compact bytes, with what takes long to work out already worked out.
//!
//! A form holds the tables of the file as they are written, the guarantee of each metric, the page for users, a
//! digest of all task IDs, and a checksum. [`Program::from_device_form`] reads the tables as [`Program::parse`] does
//! and refuses what that refuses; it only has no TOML to parse and no bounds to compute. A task's ID binds its
//! manifest, and the manifest the guarantees, so a form that promises anything else than the tasks do makes other
//! task IDs and is refused.

mod codec;
mod tables;
#[cfg(test)]
mod tests;

use crate::{Program, ProgramError, file::File, source::Source};
use codec::{Compact, FormReader, TooLong};
use sha2::{Digest, Sha256};
use sottovoce_dap::codec::DecodeError;
use sottovoce_privacy::{
    guarantee::THEOREMS,
    units::{Delta, Epsilon, Guarantee, TrustModel},
};
use thiserror::Error;

/// A form that is no program.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FormError {
    /// It is something else.
    #[error("it is not a compiled program; make one with `sottovoce compile`")]
    NoForm,
    /// It is of a version that this library does not read.
    #[error(
        "it is a compiled program of format {0}, and this library reads format {VERSION}; compile it with the \
         `sottovoce` of the library's version"
    )]
    Version(u8),
    /// Its bytes have changed since it was made, or are not all there.
    #[error("the compiled program is damaged; compile it again, or load it again")]
    Damaged,
    /// Its bytes are not what its format says.
    #[error("the compiled program cannot be read ({0}); compile it again")]
    Malformed(#[from] DecodeError),
    /// What it says is refused, as it is in a program's file.
    #[error("the compiled program is not valid: {0}")]
    Program(ProgramError),
    /// Its tasks are not those that it was compiled to.
    #[error(
        "the compiled program has other tasks under this version of the library; compile it again with the \
         `sottovoce` of the library's version"
    )]
    OtherTasks,
}

const MAGIC: &[u8; 9] = b"SVPROGRAM";
const VERSION: u8 = 1;
const CHECKSUM: usize = 16;

/// What is known of a program beside its file.
struct WorkedOut {
    /// Of all task IDs.
    tasks: [u8; 32],
    /// What an app shows before it asks for consent.
    for_users: String,
    /// Of each metric, in the order in which the file has them.
    guarantees: Vec<Vec<Guarantee>>,
}

impl Program {
    /// Compiles a program's file for devices. Takes as long as [`parse`](Self::parse); `name` is what errors call
    /// the file.
    ///
    /// Refuses what `parse` refuses, and a program with a text or a list of more than 65,535 bytes or items.
    pub fn compile_for_devices(name: &str, text: &str) -> Result<Vec<u8>, ProgramError> {
        let source = Source { name, text };
        let (program, file) = (Self::parse(name, text)?, File::parse(source)?);
        let body = body(&program, &file).map_err(|TooLong { len }| {
            source.whole(format!(
                "a text or a list has a length of {len}; devices take at most {}",
                codec::MOST
            ))
        })?;
        Ok([MAGIC.as_slice(), &[VERSION], &checksum(&body), &body].concat())
    }

    /// SHA-256 of all task IDs, in their order: whether two programs have the same tasks.
    pub fn tasks_digest(&self) -> [u8; 32] {
        let ids = self.tasks().iter().map(|task| task.task_id);
        ids.fold(Sha256::new(), |digest, id| digest.chain_update(id.as_bytes())).finalize().into()
    }

    /// Reads what [`compile_for_devices`](Self::compile_for_devices) made.
    pub fn from_device_form(form: &[u8]) -> Result<Self, FormError> {
        let (file, known) = decode(body_of(form)?)?;
        let source = Source { name: "the program", text: "" };
        let mut given = known.guarantees.into_iter();
        let mut program = Self::of(source, &file, |_, _| Ok(given.next().unwrap_or_default()))
            .map_err(FormError::Program)?;
        if given.next().is_some() || program.tasks_digest() != known.tasks {
            return Err(FormError::OtherTasks);
        }
        program.for_users = known.for_users;
        Ok(program)
    }
}

fn body(program: &Program, file: &File) -> Result<Vec<u8>, TooLong> {
    let known = WorkedOut {
        tasks: program.tasks_digest(),
        for_users: program.for_users.clone(),
        guarantees: guarantees(program),
    };
    let mut body = Vec::new();
    known.write(&mut body)?;
    file.write(&mut body)?;
    Ok(body)
}

fn body_of(form: &[u8]) -> Result<&[u8], FormError> {
    let rest = form.strip_prefix(MAGIC).ok_or(FormError::NoForm)?;
    let (version, rest) = rest.split_first().ok_or(FormError::NoForm)?;
    if *version != VERSION {
        return Err(FormError::Version(*version));
    }
    let (sum, body) = rest.split_at_checked(CHECKSUM).ok_or(FormError::Damaged)?;
    if checksum(body) != sum {
        return Err(FormError::Damaged);
    }
    Ok(body)
}

fn decode(body: &[u8]) -> Result<(File, WorkedOut), DecodeError> {
    let mut form = FormReader::new(body);
    let known = WorkedOut::read(&mut form)?;
    let file = File::read(&mut form)?;
    form.finish()?;
    Ok((file, known))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&Sha256::digest(body)[..CHECKSUM]);
    sum
}

/// Of each metric once: all its tasks have the same.
fn guarantees(program: &Program) -> Vec<Vec<Guarantee>> {
    let of = |name: &str| program.tasks().iter().find(|task| task.metric.name == name);
    let metrics = program.metrics().into_iter().filter_map(|metric| of(&metric.name));
    metrics.map(|task| task.guarantees().to_vec()).collect()
}

impl Compact for WorkedOut {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let Self { tasks, for_users, guarantees } = self;
        tasks.write(out)?;
        for_users.write(out)?;
        guarantees.write(out)
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tasks: Compact::read(form)?,
            for_users: Compact::read(form)?,
            guarantees: Compact::read(form)?,
        })
    }
}

const TRUST_MODELS: [TrustModel; 3] = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc];

impl Compact for Guarantee {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let Self { trust, epsilon, delta, pointwise, theorem } = self;
        place_in(&TRUST_MODELS, trust).write(out)?;
        epsilon.get().write(out)?;
        delta.get().write(out)?;
        pointwise.get().write(out)?;
        place_in(&THEOREMS, theorem).write(out)
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        let wrong = |field| move |_| DecodeError::Invalid { field, reason: "is out of its range" };
        Ok(Self {
            trust: chosen(&TRUST_MODELS, "a trust model", form)?,
            epsilon: Epsilon::new(f64::read(form)?).map_err(wrong("epsilon"))?,
            delta: Delta::new(f64::read(form)?).map_err(wrong("delta"))?,
            pointwise: Epsilon::new(f64::read(form)?).map_err(wrong("a pointwise bound"))?,
            theorem: chosen(&THEOREMS, "a theorem", form)?,
        })
    }
}

/// Where a value stands among those that there are. One that is not among them is read as no value.
fn place_in<T: PartialEq>(all: &[T], value: &T) -> u8 {
    let place = all.iter().position(|known| known == value);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

fn chosen<T: Copy>(
    all: &[T],
    field: &'static str,
    form: &mut FormReader<'_>,
) -> Result<T, DecodeError> {
    let place = u8::read(form)?;
    all.get(usize::from(place)).copied().ok_or(DecodeError::Unknown { field, value: place.into() })
}
