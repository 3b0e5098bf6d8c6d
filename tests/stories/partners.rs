//! One bad partner stops nobody: its tasks wait, those of others go on, and the server ends when it is told to.

use super::{
    http::Ask,
    server::{free_port, poll},
    task::{HISTOGRAM, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::vdaf::shard::Measurement;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a server that is told to stop may take, whatever its partners do.
const STOP: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
enum Manner {
    /// Takes connections and says nothing.
    Frozen,
    /// Says "not yet", for ever.
    NotYet,
    /// Answers a byte at a time.
    Trickle,
    /// Hangs up in the middle of the request.
    Reset,
    /// Answers everything, but no request to delete.
    NeverDeletes,
}

/// A bad partner at work; its threads end with the test.
struct Partner {
    port: u16,
    heard: Arc<AtomicUsize>,
    /// Whether it is bad already; until then it passes everything on to `to`.
    bad: Arc<AtomicBool>,
}

impl Partner {
    fn start(manner: Manner, to: Option<u16>) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        let bad = Arc::new(AtomicBool::new(to.is_none()));
        let (count, is_bad) = (Arc::clone(&heard), Arc::clone(&bad));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match to.filter(|_| !is_bad.load(Ordering::SeqCst)) {
                    Some(to) => pass_on(stream, to, manner, &count),
                    None => {
                        let count = Arc::clone(&count);
                        std::thread::spawn(move || behave(stream, manner, &count));
                    }
                }
            }
        });
        Self { port, heard, bad }
    }

    fn is_heard(&self) {
        poll("a request to the bad partner", || {
            (self.heard.load(Ordering::SeqCst) > 0).then_some(())
        });
    }
}

fn pass_on(mut from: TcpStream, port: u16, manner: Manner, heard: &Arc<AtomicUsize>) {
    let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (mut from_too, mut to_too) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        let mut request = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut request) {
            if matches!(manner, Manner::NeverDeletes) && request.starts_with(b"DELETE ") {
                // Kept open, and never answered.
                heard.fetch_add(1, Ordering::SeqCst);
            } else if to.write_all(&request[..read]).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    std::thread::spawn(move || std::io::copy(&mut to_too, &mut from_too));
}

/// Stands in for a helper whose port was not known in time.
fn pass_all_on(listener: TcpListener, to: u16) {
    let heard = Arc::default();
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|s| pass_on(s, to, Manner::Frozen, &heard));
    });
}

fn behave(mut stream: TcpStream, manner: Manner, heard: &AtomicUsize) {
    let mut request = vec![0; 1 << 16];
    while let Ok(1..) = stream.read(&mut request) {
        heard.fetch_add(1, Ordering::SeqCst);
        let ended = match manner {
            Manner::Frozen | Manner::NeverDeletes => Ok(()),
            Manner::Reset => return,
            Manner::NotYet => stream.write_all(
                b"HTTP/1.1 200 OK\r\nLocation: /job\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            ),
            Manner::Trickle => loop {
                if let Err(error) = stream.write_all(b"H") {
                    break Err(error);
                }
                std::thread::sleep(Duration::from_millis(200));
            },
        };
        if ended.is_err() {
            return;
        }
    }
}

fn measurements(seed: u64) -> Vec<Measurement> {
    sample(&HISTOGRAM, 12, &mut seeded(seed))
}

/// A world whose first task has the good helper, and each other one a partner of its own.
fn world(partners: &[&Partner]) -> World {
    let others = partners
        .iter()
        .map(|partner| TaskSpec { helper_port: Some(partner.port), ..TaskSpec::default() });
    let tasks = [TaskSpec::default()].into_iter().chain(others).collect();
    World::start(WorldOptions { tasks, ..Default::default() })
}

fn upload(world: &World, task: usize, measurements: &[Measurement]) {
    let task = &world.tasks[task];
    for measurements in measurements.chunks(3) {
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports), []);
    }
}

fn a_partner_holds_up_no_other_task(manner: Manner, seed: u64) {
    let partner = Partner::start(manner, None);
    let world = world(&[&partner, &partner, &partner]);
    let measurements = measurements(seed);
    // More jobs than there are places, of several tasks with the same partner.
    for task in 1..4 {
        upload(&world, task, &measurements);
        let asked = world.ask_collection_of(&world.tasks[task], &collection(world.query())).send();
        assert_eq!((asked.status, asked.body.len()), (200, 0));
    }
    partner.is_heard();
    upload(&world, 0, &measurements);
    world.expect(&measurements);
    assert!(world.leader.terminate_within(STOP).success());
    assert!(world.helper.terminate_within(STOP).success());
}

#[test]
fn a_frozen_partner_holds_up_no_other_task() {
    a_partner_holds_up_no_other_task(Manner::Frozen, 700);
}

#[test]
fn a_partner_that_never_is_ready_holds_up_no_other_task() {
    a_partner_holds_up_no_other_task(Manner::NotYet, 701);
}

#[test]
fn a_partner_that_answers_byte_by_byte_holds_up_no_other_task() {
    a_partner_holds_up_no_other_task(Manner::Trickle, 702);
}

#[test]
fn a_partner_that_hangs_up_holds_up_no_other_task() {
    a_partner_holds_up_no_other_task(Manner::Reset, 703);
}

#[test]
fn a_partner_that_freezes_before_it_gives_its_share_holds_up_no_other_collection() {
    let helper_port = free_port();
    let partner = Partner::start(Manner::Frozen, Some(helper_port));
    // The partner passes on to a helper of its own, which shares the world's files.
    let world = world(&[&partner, &partner]);
    let real = TcpListener::bind(("127.0.0.1", helper_port)).unwrap();
    pass_all_on(real, world.helper.port);
    let measurements = measurements(704);
    (0..3).for_each(|task| upload(&world, task, &measurements));
    world.wait_until_aggregated();
    partner.bad.store(true, Ordering::SeqCst);
    // Connections that are kept from before still pass: a new process has none.
    world.leader.kill();
    world.leader.start();
    let ask = |task: usize| {
        let asked = world.ask_collection_of(&world.tasks[task], &collection(world.query())).send();
        assert_eq!((asked.status, asked.body.len()), (200, 0));
        asked.location()
    };
    let waiting = [1, 2].map(ask);
    partner.is_heard();
    world.expect(&measurements);
    // It is seen that they wait, and for whom.
    let listed = world.leader.tell(&["collections", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.matches("waiting for the helper's share since ").count(), 2, "{listed}");
    assert!(world.leader.terminate_within(STOP).success());
    // Well again, they are collected as if nothing had been.
    partner.bad.store(false, Ordering::SeqCst);
    world.leader.start();
    for (task, location) in [1, 2].into_iter().zip(waiting) {
        let task = &world.tasks[task];
        poll("the collection", || {
            let answer = Ask::get(&location).token(&task.collector_token).send();
            (!answer.body.is_empty()).then_some(answer)
        })
        .ok();
        let collected = world.collect_of(task, world.query()).unwrap();
        assert_eq!(collected.result, total(&HISTOGRAM, &measurements));
    }
}

#[test]
fn a_partner_that_never_says_it_has_deleted_holds_up_no_other_task() {
    let helper_port = free_port();
    let partner = Partner::start(Manner::NeverDeletes, Some(helper_port));
    let world = world(&[&partner, &partner, &partner]);
    pass_all_on(TcpListener::bind(("127.0.0.1", helper_port)).unwrap(), world.helper.port);
    let measurements = measurements(706);
    (1..4).for_each(|task| upload(&world, task, &measurements));
    partner.is_heard();
    upload(&world, 0, &measurements);
    world.expect(&measurements);
    assert!(world.leader.terminate_within(STOP).success());
}

/// No poll, and so none of the whole seconds that `Retry-After` counts in.
#[test]
fn what_is_aggregated_is_in_the_answer_to_the_request_for_it() {
    let world = world(&[]);
    let measurements = measurements(705);
    upload(&world, 0, &measurements);
    world.wait_until_aggregated();
    let began = std::time::Instant::now();
    let answer = world.ask_collection(&collection(world.query())).send();
    println!("answered after {:?}", began.elapsed());
    assert!(answer.status == 200 && !answer.body.is_empty(), "{}", answer.text());
    world.expect(&measurements);
}
