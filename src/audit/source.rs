//! Where a log is read from: a server, or a folder.

use crate::{
    dap::exchange::{Method, Request, Response},
    log::{
        entry::EntryKey,
        note::MAX_NOTE,
        proof::MAX_PROOF,
        tiles::{Content, MAX_BUNDLE, Place, TileName, WIDTH, narrowed},
        tree::Hash,
    },
    transport::{
        http::{HttpClient, SetupError, TransportError},
        retry::Backoff,
    },
};
use std::{
    fmt, fs,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
    time::Duration,
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
    #[error("the log cannot be read from here: {0}")]
    Runtime(io::Error),
    /// The server does not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server answers with something else.
    #[error("{url} answers with status {status}, where a file of the log should be")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
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
    #[error("{place} is longer than the {limit} bytes that it may have")]
    TooLong {
        /// Which file.
        place: String,
        /// Its bound.
        limit: usize,
    },
    /// It is shorter than the checkpoint promises.
    #[error(
        "{0} is missing, which the checkpoint promises: the log is half-written, or lost a part"
    )]
    Missing(String),
}

/// Reads files of one log. Blocks.
pub struct Reader {
    source: Source,
    http: HttpClient,
    runtime: Runtime,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a server that is out of reach or busy is asked for a file: an audit of a long log should
/// not end because one answer of thousands was lost.
const ATTEMPTS: u32 = 4;

const FIRST_WAIT: Duration = Duration::from_millis(250);

const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Reader {
    /// Over a source, which is not looked at yet.
    pub fn new(source: Source) -> Result<Self, SourceError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            source,
            http: HttpClient::new(TIMEOUT)?,
            runtime: runtime.map_err(SourceError::Runtime)?,
        })
    }

    /// Where it reads.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The newest checkpoint, believed by nobody yet.
    pub fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.read("checkpoint", MAX_NOTE)?
            .ok_or_else(|| SourceError::Missing(format!("{}/checkpoint", self.source)))
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
            Source::Url(base) => self.fetch(format!("{base}/{name}"), limit),
            Source::Folder(folder) => from_folder(folder.join(name), limit),
        }
    }

    fn fetch(&self, url: String, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let request = Request {
            method: Method::Get,
            url: url.clone(),
            media_type: None,
            body: Vec::new(),
            authorized: false,
        };
        let (mut backoff, mut left) = (Backoff::new(FIRST_WAIT, LONGEST_WAIT), ATTEMPTS);
        loop {
            left -= 1;
            let answer = self.runtime.block_on(self.http.send(request.clone(), None, limit));
            match again(&answer) {
                Some(asked) if left > 0 => std::thread::sleep(backoff.wait(asked)),
                _ => return read(url, answer),
            }
        }
    }
}

/// Whether another time may bring another answer, and after which wait if the server says so.
fn again(answer: &Result<Response, TransportError>) -> Option<Option<Duration>> {
    match answer {
        Ok(response) if response.status == 429 || response.status >= 500 => {
            let asked = response.retry_after.as_deref().and_then(|text| text.trim().parse().ok());
            Some(asked.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)))
        }
        Err(error) => error.is_retryable().then_some(None),
        Ok(_) => None,
    }
}

/// What an answer comes to: a file, or that there is none of this name.
fn read(
    url: String,
    answer: Result<Response, TransportError>,
) -> Result<Option<Vec<u8>>, SourceError> {
    let response = answer?;
    match response.status {
        200 => Ok(Some(response.body)),
        404 => Ok(None),
        status => Err(SourceError::Status { url, status }),
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
