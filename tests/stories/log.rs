//! The public log of each aggregator: what is in it, and that nothing leaves before it is.

use super::{
    http::Ask,
    server::{Server, poll},
    task::{Task, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    codec::Decode,
    collect::{BatchSelector, CollectionJobResp, Query},
    hpke::HpkeCiphertext,
    problem::ProblemType,
    task::{BatchMode, VdafConfig},
};
use sottovoce_log::{
    checkpoint::{Opened, Trust},
    entry::{Entry, EntryKey, Event, KeyChange, Release, ShareDigest},
    note::VerifierKey,
    proof::Proof,
    tiles::{Content, Place, TileName, WIDTH, entries, hashes},
    tree::{Frontier, Hash},
};
use std::{fs, path::Path};

/// The log of a server, as anybody sees it.
pub(crate) struct Log {
    base: String,
    pub(crate) trust: Trust,
}

impl Log {
    pub(crate) fn of(server: &Server, path: &str) -> Self {
        let config = server.config.to_str().unwrap();
        let keys = server.run(&["log", "key", "--config", config]);
        assert!(keys.status.success(), "{}", String::from_utf8_lossy(&keys.stderr));
        let keys = String::from_utf8(keys.stdout).unwrap();
        let keys: Vec<VerifierKey> = keys.lines().map(|key| key.parse().unwrap()).collect();
        let trust = Trust::new(keys, Vec::new(), 0).unwrap();
        Self { base: format!("{}://127.0.0.1:{}{path}log", server.scheme, server.port), trust }
    }

    fn leader(world: &World) -> Self {
        Self::of(&world.leader, "/")
    }

    fn helper(world: &World) -> Self {
        Self::of(&world.helper, "/dap/v19/")
    }

    fn ask(&self, name: &str) -> Ask {
        Ask::get(&format!("{}/{name}", self.base))
    }

    pub(crate) fn checkpoint(&self) -> Opened {
        self.trust.open(&self.ask("checkpoint").send().ok()).unwrap()
    }

    /// All entries, each of which leads to the checkpoint's root.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let checkpoint = self.checkpoint();
        let (size, root) = (checkpoint.checkpoint().size, checkpoint.checkpoint().root);
        read(size, root, &mut |name| self.ask(name).send().ok())
    }

    fn proof(&self, key: &EntryKey) -> Proof {
        Proof::parse(&self.ask(&format!("proof/{key}")).send().ok()).unwrap()
    }

    fn release(&self, share: &HpkeCiphertext) -> Release {
        let share = ShareDigest::of(share);
        let proved = self.proof(&EntryKey::release(&share)).verify(&self.trust).unwrap();
        let Event::Release(release) = proved.entry.event else { panic!("{proved:?}") };
        assert_eq!(release.share, share);
        release
    }
}

/// Reads a log from its files, and checks that they are a log.
fn read(size: u64, root: Hash, file: &mut dyn FnMut(&str) -> Vec<u8>) -> Vec<Entry> {
    let (mut tree, mut all) = (Frontier::new(), Vec::new());
    for index in 0..size.div_ceil(WIDTH) {
        let name = |content| TileName::of(Place { content, index }, size).unwrap();
        let (bundle, tile) = (name(Content::Entries), name(Content::Hashes(0)));
        let bytes = file(&bundle.to_string());
        let leaves = hashes(&tile, &file(&tile.to_string())).unwrap();
        for (entry, leaf) in entries(&bundle, &bytes).unwrap().into_iter().zip(leaves) {
            assert_eq!(Hash::leaf(entry), leaf);
            tree.push(leaf, |_, _, _| {});
            all.push(Entry::from_bytes(entry).unwrap());
        }
    }
    assert_eq!((tree.size(), tree.root()), (size, root));
    all
}

fn releases(entries: &[Entry]) -> Vec<&Release> {
    let release = |entry| match entry {
        &Entry { event: Event::Release(ref release), .. } => Some(release),
        _ => None,
    };
    entries.iter().filter_map(release).collect()
}

/// Collects five reports of a window; gives both shares as they were handed over.
fn collect(world: &World, task: &Task, query: Query) -> [HpkeCiphertext; 2] {
    let collected = world.collect_of(task, query).unwrap();
    let response = CollectionJobResp::from_bytes(&collected.body).unwrap();
    [response.leader_encrypted_agg_share, response.helper_encrypted_agg_share]
}

fn upload(world: &World, task: &Task, seed: u64) -> u64 {
    let measurements = sample(&task.configuration.vdaf, 7, &mut seeded(seed));
    let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
    assert_eq!(world.upload_to(task, &reports), []);
    reports.len() as u64
}

#[test]
fn what_is_collected_is_proved_by_both_logs_and_they_agree() {
    let tasks = [BatchMode::TimeInterval, BatchMode::LeaderSelected]
        .map(|mode| TaskSpec::new(VdafConfig::Prio3Count, mode));
    let world = World::start(WorldOptions { tasks: tasks.to_vec(), ..Default::default() });
    for (task, query) in world.tasks.iter().zip([world.query(), Query::LeaderSelected]) {
        let count = upload(&world, task, 1);
        let [ours, theirs] = collect(&world, task, query);
        let leader = Log::leader(&world).release(&ours);
        let helper = Log::helper(&world).release(&theirs);
        assert_eq!((leader.task, leader.report_count), (task.id, count));
        let by_leader = Release { share: helper.share, ..leader.clone() };
        assert_eq!(by_leader, helper);
        let by_time = matches!(leader.batch, BatchSelector::TimeInterval(_));
        assert_eq!(by_time, matches!(query, Query::TimeInterval(_)));
    }
}

#[test]
fn a_log_says_who_began_and_with_what() {
    let world = World::with_task(TaskSpec::default());
    for (log, role) in [(Log::leader(&world), "leader"), (Log::helper(&world), "helper")] {
        let entries = log.entries();
        let has = |wanted: &dyn Fn(&Event) -> bool| entries.iter().any(|e| wanted(&e.event));
        assert!(has(&|event| matches!(event, Event::Started(s) if s.contains(role))));
        assert!(has(&|event| matches!(event, Event::Settings(s) if !s.is_empty())));
        assert!(has(&|event| matches!(event, Event::HpkeKey(KeyChange::Added, _))));
        assert!(has(&|event| matches!(event, Event::LogKey(KeyChange::Added, _))));
        let task = world.task();
        let taken = |event: &Event| {
            matches!(event, Event::Task(taken) if taken.task == task.id
                && taken.configuration == task.configuration)
        };
        assert!(has(&taken));
        log.proof(&EntryKey::task(&task.id)).verify(&log.trust).unwrap();
    }
}

#[test]
fn a_refusal_is_in_the_log_once_and_with_its_reason() {
    let world = World::with_task(TaskSpec::default());
    let few = sample(&world.task().configuration.vdaf, 2, &mut seeded(3));
    world.upload_all(&world.reports(&few));
    for _ in 0..2 {
        world.collection_refused(world.query(), ProblemType::InvalidBatchSize);
    }
    let refused = poll("the refusal in the log", || {
        let entries = Log::leader(&world).entries();
        let refused = |entry: &Entry| match &entry.event {
            Event::Refused(refused) => Some(refused.clone()),
            _ => None,
        };
        let all: Vec<_> = entries.iter().filter_map(refused).collect();
        (!all.is_empty()).then_some(all)
    });
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].problem, "invalidBatchSize");
    let detail = &refused[0].detail;
    assert!(detail.contains("fewer reports than the minimum of 5"), "{detail}");
    assert!(!detail.contains('2'), "how many there are is nobody's business: {detail}");
}

/// Whoever dies when: what came out is in both logs, once.
#[test]
fn no_share_leaves_that_is_not_in_the_log_whoever_dies() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    upload(&world, task, 4);
    let request = sottovoce_collector::collect::request(world.query());
    let location = world.ask_collection(&request).send().location();
    for victim in [&world.helper, &world.leader, &world.helper, &world.leader] {
        victim.kill();
        victim.start();
    }
    let url = world.task().at_leader(&format!("collection_jobs/{}", last(&location)));
    let body = poll("the collection", || {
        let answer = Ask::get(&url).token(&task.collector_token).try_send().ok()?;
        (answer.status == 200 && !answer.body.is_empty()).then_some(answer.body)
    });
    let response = CollectionJobResp::from_bytes(&body).unwrap();
    let leader = Log::leader(&world);
    let helper = Log::helper(&world);
    leader.release(&response.leader_encrypted_agg_share);
    helper.release(&response.helper_encrypted_agg_share);
    for log in [leader, helper] {
        assert_eq!(releases(&log.entries()).len(), 1);
    }
}

fn last(location: &str) -> &str {
    location.rsplit('/').next().unwrap()
}

#[test]
fn a_log_that_is_damaged_lets_no_share_out() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(5));
    world.upload_all(&world.reports(&measurements));
    Log::helper(&world).checkpoint();
    world.helper.kill();
    let database = rusqlite::Connection::open(world.folder.path().join("helper.db")).unwrap();
    let good: Vec<u8> = database
        .query_row("SELECT bytes FROM log_pages WHERE content = 0", [], |row| row.get(0))
        .unwrap();
    let mut bad = good.clone();
    bad[3] ^= 1;
    let set = "UPDATE log_pages SET bytes = ?1 WHERE content = 0";
    database.execute(set, [&bad]).unwrap();
    world.helper.start();
    let request = sottovoce_collector::collect::request(world.query());
    let location = world.ask_collection(&request).send().location();
    world.helper.wait_for_log("the root of its files is not its checkpoint's");
    let url = world.task().at_leader(&format!("collection_jobs/{}", last(&location)));
    let answer = Ask::get(&url).token(&world.task().collector_token).send();
    assert!(answer.status == 200 && answer.body.is_empty(), "still pending: nothing came out");
    // Nothing is lost: once the log is well again, the share is there.
    database.execute(set, [&good]).unwrap();
    let collected = world.collect(world.query());
    assert_eq!(collected.result, total(&world.task().configuration.vdaf, &measurements));
}

#[test]
fn an_export_is_the_log_as_it_is_served_and_is_brought_up_to_date() {
    let world = World::with_task(TaskSpec::default());
    let log = Log::leader(&world);
    log.checkpoint();
    let folder = world.folder.path().join("export");
    let export = || {
        let config = world.leader.config.to_str().unwrap();
        let done = world.leader.run(&["log", "export", "-c", config, folder.to_str().unwrap()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let note = fs::read(folder.join("checkpoint")).unwrap();
        let opened = log.trust.open(&note).unwrap();
        let checkpoint = opened.checkpoint();
        read(checkpoint.size, checkpoint.root, &mut |name| fs::read(folder.join(name)).unwrap())
    };
    let first = export();
    upload(&world, world.task(), 6);
    collect(&world, world.task(), world.query());
    let second = export();
    assert!(second.len() > first.len() && second.starts_with(&first));
    assert_eq!(releases(&second).len(), 1);
    let lists = |folder: &Path| fs::read_dir(folder.join("tile/entries")).unwrap().count();
    assert!(lists(&folder) >= 1);
}

#[test]
fn a_key_is_rotated_by_signing_beside_the_old_one_and_saying_so() {
    let world = World::with_task(TaskSpec::default());
    let before = Log::helper(&world);
    let config = world.helper.config.to_str().unwrap();
    let command = |words: &[&str]| {
        let done = world.helper.run(&[&["log"], words].concat());
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert!(command(&["retire-key", "-c", config, "0"]).1.contains("only one"));
    assert!(command(&["new-key", "-c", config]).0);
    let with_both = poll("a checkpoint by the new key", || {
        let log = Log::helper(&world);
        let note = log.checkpoint().note().clone();
        (note.signed_by(log.trust.keys()).unwrap().len() == 2).then_some(log)
    });
    // Whoever knows the old key alone still follows, and finds the new one.
    before.checkpoint();
    let added = |entry: &Entry| matches!(entry.event, Event::LogKey(KeyChange::Added, _));
    assert_eq!(before.entries().iter().filter(|entry| added(entry)).count(), 2);
    assert!(command(&["retire-key", "-c", config, "0"]).0);
    poll("a checkpoint without the old key", || {
        let note = with_both.checkpoint().note().clone();
        note.signed_by(before.trust.keys()).is_err().then_some(())
    });
}

#[test]
fn what_is_not_in_the_log_is_not_found_and_says_so() {
    let world = World::with_task(TaskSpec::default());
    let log = Log::leader(&world);
    log.checkpoint();
    for name in [
        "tile/0/001",
        "tile/0/000",
        "tile/0/000.p/200",
        "tile/9/000",
        "tile/entries/x000/000",
        "tile/0/..%2f..%2fcheckpoint",
        "proof/00",
        &format!("proof/{}", "0".repeat(64)),
        "nothing",
    ] {
        let answer = log.ask(name).send();
        assert_eq!(answer.status, 404, "{name}: {}", answer.text());
    }
}
