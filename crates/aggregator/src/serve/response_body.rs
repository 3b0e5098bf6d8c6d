//! Bodies of responses whose memory counts until they are written.

use super::memory::MemoryPermit;
use crate::http::message;
use axum::{
    body::{Body, Bytes},
    response::Response,
};
use sottovoce_dap::media_type::MediaType;

/// A message that may be long: its memory is taken until it is read, however slow its reader is.
pub fn long_message(media_type: MediaType, body: Vec<u8>, memory: MemoryPermit) -> Response {
    message(media_type, body_with_permit(body, memory))
}

/// Bytes whose memory is taken until the last of them is written.
pub fn body_with_permit(bytes: Vec<u8>, memory: MemoryPermit) -> Body {
    Bytes::from_owner(PermittedBytes { bytes, _memory: memory }).into()
}

struct PermittedBytes {
    bytes: Vec<u8>,
    _memory: MemoryPermit,
}

impl AsRef<[u8]> for PermittedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{super::memory::MemoryPool, *};

    #[tokio::test]
    async fn a_response_takes_its_memory_until_the_last_of_it_is_written() {
        let pool = MemoryPool::new(7 << 10, 1);
        let memory = pool.take(None, 7 << 10).unwrap();
        let body = body_with_permit(vec![1; 7 << 10], memory);
        let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let last = bytes.split_off(bytes.len() - 1);
        drop(bytes);
        assert!(pool.take(None, 7 << 10).is_err());
        drop(last);
        assert!(pool.take(None, 7 << 10).is_ok());
    }
}
