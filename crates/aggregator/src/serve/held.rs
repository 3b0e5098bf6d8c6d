//! Answers that hold their room until they are written.

use super::room::Room;
use crate::http::message;
use axum::{
    body::{Body, Bytes},
    response::Response,
};
use sottovoce_dap::media_type::MediaType;

/// A message that may be long: its room is taken until it is read, however slow its reader is.
pub fn long_message(media_type: MediaType, body: Vec<u8>, room: Room) -> Response {
    message(media_type, held(body, room))
}

/// Bytes whose room is taken until the last of them is written.
pub fn held(bytes: Vec<u8>, room: Room) -> Body {
    Bytes::from_owner(Held { bytes, _room: room }).into()
}

struct Held {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{super::room::Pool, *};

    #[tokio::test]
    async fn an_answer_holds_its_room_until_the_last_of_it_is_written() {
        let pool = Pool::new(7 << 10, 1);
        let room = pool.take(None, 7 << 10).unwrap();
        let body = held(vec![1; 7 << 10], room);
        let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let last = bytes.split_off(bytes.len() - 1);
        drop(bytes);
        assert!(pool.take(None, 7 << 10).is_err());
        drop(last);
        assert!(pool.take(None, 7 << 10).is_ok());
    }
}
