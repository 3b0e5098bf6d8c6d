//! Admission control: bodies of requests are read in bounded time into bounded memory, and heavy work and
//! database queries are few at a time.

use super::memory::{MemoryPermit, MemoryPool};
use crate::{
    config::limits::Limits,
    http::{Failure, blocking},
    serve::ClientAddress,
    store::Timestamp,
};
use axum::{body::Body, extract::Request};
use futures_core::Stream;
use sottovoce_dap::problem::ProblemType;
use std::{net::IpAddr, num::NonZero, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

/// Limits the memory of all bodies together, the heavy work, and the queries that run at a time.
#[derive(Clone, Debug)]
pub struct Admission {
    strangers: MemoryPool,
    /// For authenticated peers: no stranger takes any of it.
    authenticated: MemoryPool,
    /// For work that keeps all cores busy.
    work_permits: Arc<Semaphore>,
    /// For database queries that anybody may cause.
    queries: Arc<Semaphore>,
    patience: Duration,
}

/// A body with the permit for its memory. Both go into the work that the body is for, which continues when
/// the client has hung up.
#[derive(Debug)]
pub struct BufferedBody {
    bytes: Vec<u8>,
    memory: MemoryPermit,
}

/// Leave to do heavy work, given back when this is dropped.
#[derive(Debug)]
pub struct WorkPermit {
    _permit: OwnedSemaphorePermit,
}

impl BufferedBody {
    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The permit alone, for what was made of the body.
    pub fn into_memory(self) -> MemoryPermit {
        self.memory
    }
}

impl Admission {
    /// Memory for the bodies that `limits` allow, but always for one of the longest.
    pub fn new(limits: &Limits) -> Self {
        // An answer names reports by their IDs, which are less than half of them.
        let answered = limits.upload_bytes.saturating_add(limits.upload_bytes / 2);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            strangers: MemoryPool::with_client_quotas(
                limits.waiting_bytes.max(answered),
                limits.upload_bytes,
            ),
            authenticated: MemoryPool::new(limits.waiting_bytes, limits.aggregation_job_bytes),
            work_permits: Arc::new(Semaphore::new(cores * WORKERS_PER_CORE)),
            queries: Arc::new(Semaphore::new(cores * QUERIES_PER_CORE)),
            patience: limits.request_time,
        }
    }

    /// Reads anybody's body of at most `limit` bytes, whatever length was declared. Memory is taken as bytes
    /// arrive, never by what is declared, and counts against the client's quota until all are there.
    pub async fn read(&self, request: Request, limit: usize) -> Result<BufferedBody, Failure> {
        let client = request.extensions().get().map(|ClientAddress(address)| *address);
        self.read_in_time(&self.strangers, client, request.into_body(), limit).await
    }

    /// The same for an authenticated peer.
    pub async fn read_authenticated(
        &self,
        request: Request,
        limit: usize,
    ) -> Result<BufferedBody, Failure> {
        self.read_in_time(&self.authenticated, None, request.into_body(), limit).await
    }

    /// Waits for a permit for work that keeps all cores busy. Whoever hangs up before it comes gives up its
    /// place in the queue; a permit belongs to the work until that is done.
    pub async fn work_permit(&self) -> Result<WorkPermit, Failure> {
        let permit = Arc::clone(&self.work_permits).acquire_owned().await;
        permit.map(|permit| WorkPermit { _permit: permit }).map_err(Failure::fault)
    }

    /// Runs a database query that anybody may cause, off the threads that serve connections: few at a time,
    /// so that they stand in front of no work of ours. Waits no longer than a request may take.
    pub async fn query<T: Send + 'static>(
        &self,
        work: impl FnOnce(Timestamp) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = timeout(self.patience, Arc::clone(&self.queries).acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::Busy)?.map_err(Failure::fault)?;
        blocking(move |now| {
            // Taken along: the work goes on when whoever asked hangs up.
            let _permit = permit;
            work(now)
        })
        .await
    }

    /// Memory for a response to anybody, of at most `bytes`: it counts against the client's quota until it is
    /// read.
    pub fn memory(
        &self,
        client: Option<ClientAddress>,
        bytes: usize,
    ) -> Result<MemoryPermit, Failure> {
        self.strangers.take(client.map(|ClientAddress(address)| address), bytes)
    }

    /// Memory for a response of `bytes` to an authenticated peer, until it is read.
    pub fn memory_for_authenticated(&self, bytes: usize) -> Result<MemoryPermit, Failure> {
        self.authenticated.take(None, bytes)
    }

    async fn read_in_time(
        &self,
        pool: &MemoryPool,
        client: Option<IpAddr>,
        body: Body,
        limit: usize,
    ) -> Result<BufferedBody, Failure> {
        let read = read_all(pool, client, body, limit);
        timeout(self.patience, read).await.map_err(|_| Failure::TooSlow)?
    }
}

async fn read_all(
    pool: &MemoryPool,
    client: Option<IpAddr>,
    body: Body,
    limit: usize,
) -> Result<BufferedBody, Failure> {
    let (mut bytes, mut memory) = (Vec::new(), pool.take(client, 1)?);
    let (mut chunks, mut pace) = (body.into_data_stream(), Pace::begin());
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut chunks).poll_next(cx));
        let Ok(chunk) = timeout_at(pace.until, next).await else {
            let is_short = pool.is_short() || memory.is_quota_short();
            pace.check(bytes.len(), is_short)?;
            continue;
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|_| {
            let detail = "the body is shorter than its declared length";
            Failure::problem(ProblemType::InvalidMessage, None, detail)
        })?;
        let len = bytes.len() + chunk.len();
        if len > limit {
            return Err(Failure::TooLarge { limit });
        }
        memory.grow_to(len)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(BufferedBody { bytes, memory: memory.arrived() })
}

/// How fast a body comes. While memory is short (all of it, or the quota of the client or its network), a body
/// that holds much and hardly grows is given up; a small one, as phones send, may take all the time that there is.
struct Pace {
    until: Instant,
    len: usize,
}

impl Pace {
    fn begin() -> Self {
        Self { until: Instant::now() + PERIOD, len: 0 }
    }

    /// At the end of a period, after which the body has `len` bytes.
    fn check(&mut self, len: usize, is_short: bool) -> Result<(), Failure> {
        if len > SMALL && len - self.len < LEAST && is_short {
            return Err(Failure::TooSlow);
        }
        *self = Self { until: Instant::now() + PERIOD, len };
        Ok(())
    }
}

/// Enough to have one verify while another commits.
const WORKERS_PER_CORE: usize = 2;
/// Most of them wait for the database, and not for long.
const QUERIES_PER_CORE: usize = 4;
/// How often it is looked at how fast a body comes.
const PERIOD: Duration = Duration::from_secs(5);
/// Bytes by which a body has to grow in each period while memory is short: 16 KiB in a second.
const LEAST: usize = 5 * (16 << 10);
/// Bytes of a body that may be as slow as it likes.
const SMALL: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that begins with so many bytes, and stops.
    struct Stops(usize);
    impl Stream for Stops {
        type Item = Result<Vec<u8>, std::io::Error>;
        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            match std::mem::take(&mut self.0) {
                0 => std::task::Poll::Pending,
                bytes => std::task::Poll::Ready(Some(Ok(vec![0; bytes]))),
            }
        }
    }

    fn request(body: Body) -> Request {
        Request::new(body)
    }

    fn from(last: u8, body: Body) -> Request {
        let asker = ClientAddress([192, 0, 2, last].into());
        Request::builder().extension(asker).body(body).unwrap()
    }

    fn admission(kilobytes: usize) -> Admission {
        Admission::new(&Limits {
            upload_bytes: 1024,
            aggregation_job_bytes: 1024,
            waiting_bytes: kilobytes << 10,
            request_time: Duration::from_millis(10),
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn bodies_share_the_memory_and_return_it() {
        let admission = admission(7);
        let read = || admission.read(request(Body::from(vec![0; 3 << 10])), 4 << 10);
        let (one, other) = (read().await.unwrap(), read().await.unwrap());
        assert!(matches!(read().await, Err(Failure::Busy)));
        drop((one, other));
        assert_eq!(read().await.unwrap().bytes().len(), 3 << 10);
    }

    #[tokio::test]
    async fn memory_is_taken_until_the_work_is_done_though_nobody_waits_for_it() {
        let admission = admission(7);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let body = admission
            .read_authenticated(request(Body::from(vec![0; 5 << 10])), 6 << 10)
            .await
            .unwrap();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let asked = tokio::spawn(blocking(move |_| {
            let _ = begin.send(());
            // Ends when told, or when the test fails.
            let _ = wait.recv();
            Ok(body.bytes().len())
        }));
        // What never began may be given up, so it must have begun.
        begun.await.unwrap();
        asked.abort();
        let _ = asked.await;
        assert!(matches!(admission.memory_for_authenticated(5 << 10), Err(Failure::Busy)));
        drop(go);
        while admission.memory_for_authenticated(5 << 10).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_permits_are_few_and_one_that_is_given_up_is_anothers() {
        let admission = admission(7);
        let mut taken = Vec::new();
        for _ in 0..admission.work_permits.available_permits() {
            taken.push(admission.work_permit().await.unwrap());
        }
        let mut next = Box::pin(admission.work_permit());
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx)));
        assert!(waits.await.is_pending());
        drop(next);
        taken.pop();
        assert!(admission.work_permit().await.is_ok());
    }

    #[tokio::test]
    async fn queries_of_strangers_are_few_until_they_are_done_though_nobody_waits() {
        let admission = admission(7);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let asked: Vec<_> = (0..admission.queries.available_permits())
            .map(|_| {
                let (admission, wait) = (admission.clone(), Arc::clone(&wait));
                tokio::spawn(async move {
                    // Ends when told, or when the test fails.
                    let work = move |_| {
                        let _ = wait.lock().unwrap().recv();
                        Ok(())
                    };
                    admission.query(work).await
                })
            })
            .collect();
        while admission.queries.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(admission.query(|_| Ok(())).await, Err(Failure::Busy)));
        asked.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(matches!(admission.query(|_| Ok(())).await, Err(Failure::Busy)));
        drop(go);
        while admission.query(|_| Ok(())).await.is_err() {}
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_never_ends_is_refused() {
        let admission = admission(64);
        let long = admission.read(request(Body::from(vec![0; 5 << 10])), 4 << 10).await;
        assert!(matches!(long, Err(Failure::TooLarge { limit: 4096 })));
        let slow = admission.read(request(Body::from_stream(Stops(0))), 4 << 10).await;
        assert!(matches!(slow, Err(Failure::TooSlow)));
    }

    #[tokio::test]
    async fn one_of_the_longest_and_its_answer_fit_however_little_memory_is_configured() {
        let limits = Limits { upload_bytes: 100 << 10, waiting_bytes: 0, ..Limits::default() };
        let admission = Admission::new(&limits);
        let body = from(1, Body::from(vec![0; 100 << 10]));
        let _taken = admission.read(body, 100 << 10).await.unwrap();
        assert!(admission.memory(Some(ClientAddress([192, 0, 2, 1].into())), 45 << 10).is_ok());
    }

    #[tokio::test]
    async fn one_client_that_stops_shuts_nobody_out() {
        let admission = Admission { patience: Duration::from_secs(60), ..admission(400) };
        let stop = |last| {
            let (admission, body) = (admission.clone(), Body::from_stream(Stops(30 << 10)));
            tokio::spawn(async move { admission.read(from(last, body), 40 << 10).await })
        };
        let stopped: Vec<_> = (0..20).map(|_| stop(1)).collect();
        while admission.read(from(1, Body::from(vec![0; 30 << 10])), 40 << 10).await.is_ok() {
            tokio::task::yield_now().await;
        }
        for last in 2..9 {
            let other = admission.read(from(last, Body::from(vec![0; 40 << 10])), 40 << 10).await;
            assert!(other.is_ok(), "{last}");
        }
        stopped.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn strangers_take_nothing_of_what_is_for_authenticated_peers() {
        let admission = admission(7);
        let all: Vec<_> =
            std::iter::from_fn(|| admission.strangers.take(None, 1 << 10).ok()).collect();
        let read = || request(Body::from(vec![0; 3 << 10]));
        assert!(matches!(admission.read(read(), 4 << 10).await, Err(Failure::Busy)));
        assert!(admission.read_authenticated(read(), 4 << 10).await.is_ok());
        drop(all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_that_stops_gives_up_its_memory_when_that_is_short() {
        let admission = Admission { patience: Duration::from_secs(60), ..admission(1 << 10) };
        let read = |bytes| {
            let body = Body::from_stream(Stops(bytes));
            let (admission, began) = (admission.clone(), Instant::now());
            async move {
                let read = admission.read(from(1, body), 1 << 20).await;
                assert!(matches!(read, Err(Failure::TooSlow)));
                began.elapsed().as_secs()
            }
        };
        assert_eq!(read(100 << 10).await, 60);
        let others = [(); 3].map(|()| admission.strangers.take(None, 200 << 10).unwrap());
        assert!(admission.strangers.is_short());
        assert_eq!(read(100 << 10).await, 10);
        assert_eq!(read(SMALL).await, 60);
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_that_stop_give_up_their_memory_when_that_of_their_network_is_short() {
        let admission = Admission { patience: Duration::from_secs(60), ..admission(1 << 10) };
        let read = |address: &str, body| {
            let asker = ClientAddress(address.parse().unwrap());
            let request = Request::builder().extension(asker).body(body).unwrap();
            let (admission, began) = (admission.clone(), Instant::now());
            async move { (admission.read(request, 1 << 20).await.is_ok(), began.elapsed().as_secs()) }
        };
        let stops = || Body::from_stream(Stops(250 << 10));
        // Each has its own part, and together they have their network's.
        let stopped = async {
            let one = read("2001:db8:0:100::1", stops());
            tokio::join!(one, read("2001:db8:0:200::1", stops()))
        };
        let (stopped, neighbour) = tokio::join!(stopped, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!admission.strangers.is_short());
            let body = || Body::from(vec![0; 250 << 10]);
            assert!(!read("2001:db8:0:300::1", body()).await.0);
            tokio::time::sleep(Duration::from_secs(10)).await;
            read("2001:db8:0:300::1", body()).await
        });
        assert_eq!((stopped.0, stopped.1, neighbour.0), ((false, 10), (false, 10), true));
    }
}
