//! Writes both aggregators' logs with as many releases as wanted into a folder, to see what auditing logs of
//! that size takes:
//!
//! ```sh
//! cargo run --release --example large_log -- program.toml folder 1000000
//! sottovoce-auditor verify program.toml --leader folder/leader --helper folder/helper \
//!     --leader-key KEY --helper-key KEY
//! ```
//!
//! with the keys that it prints. There is one release a window, from the Epoch on: so many windows of the
//! program should have passed since then. Everybody can have the keys, so the logs prove nothing.

use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce_dap::{
    aggregate::Checksum,
    collect::BatchSelector,
    time::{Interval, Time},
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer},
    entry::{Claim, Entry, Event, Release, ShareDigest, TaskTaken},
    note::{KeyKind, KeyName, VerifierKey},
    tiles::{Edge, TileName},
};
use sottovoce_program::{Program, compile::CompiledTask};
use std::{error::Error, fs, path::Path};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Everybodys(Ed25519KeyPair, VerifierKey);

impl Signer for Everybodys {
    fn verifier_key(&self) -> &VerifierKey {
        &self.1
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [program, folder, releases] = &arguments[..] else {
        return Err("usage: large_log PROGRAM FOLDER RELEASES".into());
    };
    let (program, folder) = (Program::read(Path::new(program))?, Path::new(folder));
    for (seed, role) in [(1, "leader"), (2, "helper")] {
        let key = everybodys(seed, &format!("{role}.example/log"))?;
        log(&program, &key, &folder.join(role), releases.parse()?)?;
        println!("{}", key.1);
    }
    Ok(())
}

fn everybodys(seed: u8, name: &str) -> Result<Everybodys> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).map_err(|_| "no key")?;
    let public = pair.public_key().as_ref().try_into()?;
    let key = VerifierKey::new(KeyName::new(name)?, KeyKind::Log, public);
    Ok(Everybodys(pair, key.ok_or("no key")?))
}

fn claims(task: &CompiledTask) -> Vec<Claim> {
    task.guarantees().iter().map(Claim::from).collect()
}

fn log(program: &Program, key: &Everybodys, folder: &Path, releases: u64) -> Result<()> {
    let mut edge = Edge::default();
    let settings = vec![("plain_http".to_owned(), "false".to_owned())];
    edge.push(&Entry { time: 0, event: Event::Settings(settings) }.to_log()?)?;
    for task in program.tasks() {
        let taken = TaskTaken {
            task: task.task_id,
            configuration: task.configuration.clone(),
            collector: program.collector().clone(),
            noise: task.noise(),
            claims: claims(task),
            manifest: task.manifest.to_bytes(),
        };
        edge.push(&Entry { time: 0, event: Event::Task(Box::new(taken)) }.to_log()?)?;
    }
    let task = &program.tasks()[0];
    for window in 0..releases {
        edge.push(&release(task, window)?.to_log()?)?;
        if window.is_multiple_of(1 << 14) || window + 1 == releases {
            write(&mut edge, folder)?;
        }
    }
    let checkpoint = Checkpoint::new(key.1.name().as_str(), edge.frontier()).sign(&[key]);
    fs::write(folder.join("checkpoint"), checkpoint.to_string())?;
    Ok(())
}

fn release(task: &CompiledTask, window: u64) -> Result<Entry> {
    let interval = Interval::new(Time(window), 1)?;
    let release = Release {
        task: task.task_id,
        batch: BatchSelector::TimeInterval(interval.into()),
        report_count: task.configuration.min_batch_size,
        checksum: Checksum::new([7; 32]),
        interval,
        noise: task.noise(),
        charged: claims(task),
        share: ShareDigest([0; 32]),
    };
    let time = (window + 2).saturating_mul(task.configuration.time_precision.seconds());
    Ok(Entry { time, event: Event::Release(release) })
}

/// Writes what has changed. Some of it is not full yet, and stays beside the wider file of later.
fn write(edge: &mut Edge, folder: &Path) -> Result<()> {
    let size = edge.frontier().size();
    for (place, bytes) in edge.take_changed() {
        let name = TileName::of(place, size).ok_or("a file without a name")?;
        let path = folder.join(name.to_string());
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
