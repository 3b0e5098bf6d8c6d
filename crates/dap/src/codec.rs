//! The presentation language of TLS (RFC 8446 §3), strict and bounded.
//!
//! A decoder reads from a slice that is already in memory and never reserves room by a length
//! that the sender declared: a vector grows as its items are found. Every message must be read
//! to its last byte.

use thiserror::Error;

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{field} needs {needed} more bytes, but only {left} are left")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// The message is over, but the bytes are not.
    #[error("{extra} bytes follow the end of the message")]
    Trailing {
        /// Bytes left over.
        extra: usize,
    },
    /// A byte string is shorter or longer than its type allows.
    #[error("{field} is {len} bytes long, and must be {min} to {max}")]
    Length {
        /// The field that was being read.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// Smallest length allowed.
        min: usize,
        /// Largest length allowed.
        max: usize,
    },
    /// A code point that the draft does not define.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field that was being read.
        field: &'static str,
        /// The code point found.
        value: u64,
    },
    /// Extensions are repeated or not in increasing order of their types.
    #[error("extension {next} follows extension {previous}: types must strictly increase")]
    ExtensionOrder {
        /// The type that stands first.
        previous: u16,
        /// The type that follows it.
        next: u16,
    },
    /// Bytes of the right length that mean nothing.
    #[error("{field} {reason}")]
    Invalid {
        /// The field that was being read.
        field: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        reason: &'static str,
    },
}

/// A value too long for the field it should go in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{len} bytes do not fit a field of {min} to {max} bytes")]
pub struct LengthError {
    /// Length of the value in bytes.
    pub len: usize,
    /// Smallest length that fits.
    pub min: usize,
    /// Largest length that fits.
    pub max: usize,
}

/// A message or a part of one that can be written.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding on its own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A message or a part of one that can be read.
pub trait Decode: Sized {
    /// Reads one value from the front of `reader`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a whole message: anything left over is an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.rest.len();
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated {
            field,
            needed: len,
            left,
        })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    /// A `uint8`.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    /// A `uint16`.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// A `uint32`.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// A `uint64`.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// A vector's body, behind a length prefix as wide as `max` needs.
    pub fn vector(
        &mut self,
        field: &'static str,
        min: usize,
        max: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let len = match prefix_width(max) {
            1 => self.u8(field)?.into(),
            2 => self.u16(field)?.into(),
            _ => self.u32(field)? as usize,
        };
        if !(min..=max).contains(&len) {
            return Err(DecodeError::Length { field, len, min, max });
        }
        self.take(field, len)
    }

    /// Items up to the end of the input.
    pub fn items<T: Decode>(&mut self) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::new();
        while !self.is_empty() {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the message: an error if anything is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { extra }),
        }
    }
}

/// Writes a vector whose body `write` appends, behind a length prefix as wide as `max` needs.
///
/// The caller's types must bound the body to `max` bytes.
pub fn encode_vector(out: &mut Vec<u8>, max: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let width = prefix_width(max);
    let start = out.len();
    out.resize(start + width, 0);
    write(out);
    let len = out.len() - start - width;
    debug_assert!(len <= max, "a vector of {len} bytes in a field of {max}");
    let prefix = (len as u64).to_be_bytes();
    out[start..start + width].copy_from_slice(&prefix[prefix.len() - width..]);
}

const fn prefix_width(max: usize) -> usize {
    match max {
        0..=U8 => 1,
        0x100..=U16 => 2,
        _ => 4,
    }
}

/// `2^8-1`, the bound of a vector with a prefix of one byte.
pub const U8: usize = 0xff;
/// `2^16-1`, the bound of a vector with a prefix of two bytes.
pub const U16: usize = 0xffff;
/// `2^32-1`, the bound of a vector with a prefix of four bytes.
pub const U32: usize = 0xffff_ffff;

/// `opaque name<MIN..MAX>`: bytes whose length is known to fit their field.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Opaque<const MIN: usize, const MAX: usize>(Vec<u8>);

impl<const MIN: usize, const MAX: usize> Opaque<MIN, MAX> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<Vec<u8>> for Opaque<MIN, MAX> {
    type Error = LengthError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, LengthError> {
        if (MIN..=MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(LengthError { len: bytes.len(), min: MIN, max: MAX })
        }
    }
}

impl<const MIN: usize, const MAX: usize> AsRef<[u8]> for Opaque<MIN, MAX> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows the length only: ciphertexts and shares do not belong in logs.
impl<const MIN: usize, const MAX: usize> std::fmt::Debug for Opaque<MIN, MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MIN: usize, const MAX: usize> Encode for Opaque<MIN, MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_vector(out, MAX, |out| out.extend_from_slice(&self.0));
    }
}

impl<const MIN: usize, const MAX: usize> Decode for Opaque<MIN, MAX> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.vector("an opaque field", MIN, MAX)?.to_vec()))
    }
}

/// A sequence that runs to the end of its message (`items[message_length]`).
impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        for item in self {
            item.encode(out);
        }
    }
}

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Encode for u16 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Encode for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Encode for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_length_beyond_the_input_is_refused_before_anything_is_reserved() {
        let lie = [0xff, 0xff, 0xff, 0xff, 1, 2, 3];
        assert_eq!(
            Opaque::<0, U32>::from_bytes(&lie),
            Err(DecodeError::Truncated { field: "an opaque field", needed: 0xffff_ffff, left: 3 })
        );
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        assert_eq!(
            Opaque::<0, U8>::from_bytes(&[1, 7, 9]),
            Err(DecodeError::Trailing { extra: 1 })
        );
    }

    #[test]
    fn prefixes_are_as_wide_as_the_bound_needs() {
        let bytes = vec![7u8; 3];
        let encoded = |opaque: &dyn Encode| opaque.to_bytes();
        assert_eq!(encoded(&Opaque::<1, U8>::try_from(bytes.clone()).unwrap()), [3, 7, 7, 7]);
        assert_eq!(encoded(&Opaque::<1, U16>::try_from(bytes.clone()).unwrap()), [0, 3, 7, 7, 7]);
        assert_eq!(encoded(&Opaque::<1, U32>::try_from(bytes).unwrap()), [0, 0, 0, 3, 7, 7, 7]);
    }

    #[test]
    fn lengths_outside_the_bounds_are_refused_both_ways() {
        assert!(Opaque::<1, U8>::from_bytes(&[0]).is_err());
        assert!(Opaque::<1, U8>::try_from(vec![0; 256]).is_err());
    }
}
