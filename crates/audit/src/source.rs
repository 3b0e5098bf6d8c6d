//! Where a log is read from: a server, or a folder.

use sottovoce_dap::exchange::is_retryable;
use sottovoce_log::{
    entry::EntryKey,
    note::MAX_NOTE,
    proof::MAX_PROOF,
    tiles::{Content, MAX_BUNDLE, Place, TileName, WIDTH, narrowed},
    tree::Hash,
};
use sottovoce_transport::{
    authority::Authority,
    error::TransportError,
    http::{HttpClient, SetupError},
    retry::Backoff,
};
use std::{
    fmt, fs,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

/// Where a log is: the prefix of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Under a URL.
    Url(String),
    /// In a folder.
    Folder(PathBuf),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        Ok(if is_url {
            Self::Url(text.trim_end_matches('/').to_owned())
        } else {
            Self::Folder(PathBuf::from(text))
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A file of a log that cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The client cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// There is no I/O.
    #[error("the async runtime for reading logs cannot be started: {0}")]
    Runtime(io::Error),
    /// The server does not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server answers with something else.
    #[error("{url} answered with status {status} instead of a file of the log")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's Retry-After.
        retry_after: Option<Duration>,
    },
    /// The folder does not have it.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than any file of its kind.
    #[error("{place} is longer than the maximum of {limit} bytes")]
    TooLong {
        /// Which file.
        place: String,
        /// Its bound.
        limit: usize,
    },
    /// Nothing is there.
    #[error("there is no log at {0}: it has no checkpoint; check the URL or folder")]
    NoLog(String),
    /// It is shorter than the checkpoint says.
    #[error(
        "{0} is missing, although the checkpoint covers it: the log is incomplete; copy or restore it again"
    )]
    Missing(String),
}

impl SourceError {
    /// Whether another time may bring another answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retryable(),
            Self::Status { status, .. } => is_retryable(*status),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// Reads files of one log. Blocks. A server that is out of reach or busy is asked again for a while.
pub struct Reader {
    source: Source,
    patience: Duration,
    http: HttpClient,
    runtime: Runtime,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// An audit of a long log should not end because one answer of thousands was lost.
const PATIENCE: Duration = Duration::from_secs(5);

impl Reader {
    /// Over a source, which is not looked at yet.
    pub fn new(source: Source) -> Result<Self, SourceError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            source,
            patience: PATIENCE,
            http: HttpClient::new(TIMEOUT)?,
            runtime: runtime.map_err(SourceError::Runtime)?,
        })
    }

    /// Asks for so long where that may help.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Trusts a private authority besides those of the system.
    pub fn trusting(self, authority: Option<&Authority>) -> Result<Self, SourceError> {
        Ok(Self { http: HttpClient::trusting(TIMEOUT, authority)?, ..self })
    }

    /// Where it reads.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The newest checkpoint, not verified yet.
    pub fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.read("checkpoint", MAX_NOTE)?
            .ok_or_else(|| SourceError::NoLog(self.source.to_string()))
    }

    /// A file that a checkpoint of `size` entries promises.
    pub fn file(&self, place: Place, size: u64) -> Result<(TileName, Vec<u8>), SourceError> {
        let missing = || SourceError::Missing(format!("{}/{place:?}", self.source));
        let name = TileName::of(place, size).ok_or_else(missing)?;
        let limit = match place.content {
            Content::Hashes(_) => Hash::LEN * usize::try_from(WIDTH).unwrap_or(usize::MAX),
            Content::Entries => MAX_BUNDLE,
        };
        if let Some(bytes) = self.read(&name.to_string(), limit)? {
            return Ok((name, bytes));
        }
        // A log may drop a partial file once the full one is there.
        let full = TileName::full(place.content, place.index);
        let grown = self.read(&full.to_string(), limit)?;
        let bytes = grown.and_then(|bytes| narrowed(&name, &bytes));
        let missing = || SourceError::Missing(format!("{}/{name}", self.source));
        bytes.map(|bytes| (name, bytes)).ok_or_else(missing)
    }

    /// The proof of an entry, if the log serves proofs and has it.
    pub fn proof(&self, key: &EntryKey) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(&format!("proof/{key}"), MAX_PROOF)
    }

    /// A file, or that there is none of this name.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        match &self.source {
            Source::Url(base) => self.persist(&format!("{base}/{name}"), limit),
            Source::Folder(folder) => from_folder(folder.join(name), limit),
        }
    }

    /// Retries, as long as there is patience, where that may help.
    fn persist(&self, url: &str, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let started = Instant::now();
        loop {
            let error = match self.fetch(url, limit) {
                Err(error) if error.may_pass() => error,
                done => return done,
            };
            let wait = backoff.wait(error.retry_after());
            if started.elapsed() + wait > self.patience {
                return Err(error);
            }
            eprintln!("{error}; retry in {:.1} s", wait.as_secs_f64());
            std::thread::sleep(wait);
        }
    }

    /// A file, or that there is none of this name.
    fn fetch(&self, url: &str, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let response = self.runtime.block_on(self.http.get(url.to_owned(), limit))?;
        let retry_after = response.asked_to_wait();
        match response.status {
            200 => Ok(Some(response.body)),
            404 => Ok(None),
            status => Err(SourceError::Status { url: url.to_owned(), status, retry_after }),
        }
    }
}

/// Names come from `TileName`, so nothing outside of the folder is reached.
fn from_folder(path: PathBuf, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
    // A pipe in a file's place would be waited for without end, even to be opened.
    let regular = fs::metadata(&path).and_then(|found| {
        if found.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
    });
    let file = match regular.and_then(|()| fs::File::open(&path)) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SourceError::File { path, source }),
    };
    let mut bytes = Vec::new();
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| SourceError::File { path: path.clone(), source })?;
    if bytes.len() > limit {
        return Err(SourceError::TooLong { place: path.display().to_string(), limit });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, net::TcpListener};

    /// What a log that gives these answers, one a connection, comes to.
    fn asked(
        answers: &'static [&'static str],
        patience: u64,
    ) -> (Result<Option<Vec<u8>>, SourceError>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = format!("http://{}/log", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let reader = Reader::new(source).unwrap().with_patience(Duration::from_secs(patience));
        let started = Instant::now();
        let proof = reader.proof(&EntryKey::task(&sottovoce_dap::ids::TaskId::new([1; 32])));
        (proof, started.elapsed())
    }

    #[test]
    fn a_log_that_is_down_or_busy_is_asked_again_and_one_that_refuses_is_not() {
        let (outcome, waited) =
            asked(&["", "503 Busy", "429 Too Many\r\nretry-after: 2", "404 Not Found"], 60);
        assert_eq!(outcome.unwrap(), None, "that it has none is an answer");
        assert!(waited >= Duration::from_secs(2), "{waited:?}");
        let (outcome, _) = asked(&["403 Forbidden", "404 Not Found"], 60);
        assert!(outcome.unwrap_err().to_string().contains("status 403"));
        let (outcome, waited) = asked(&["429 Too Many\r\nretry-after: 90"], 60);
        assert!(outcome.unwrap_err().to_string().contains("status 429"));
        assert!(waited < Duration::from_secs(30), "it was told when: {waited:?}");
    }
}
