//! Values in compact bytes: what a table's field can be.
//!
//! Numbers are big-endian, lists and texts have a length of two bytes before them, and what may be missing a byte
//! that says whether it is there. Lists grow as their items are found, so that a declared length reserves nothing.

use crate::source::At;
use sottovoce_dap::codec::{DecodeError, Reader};
use std::collections::BTreeMap;

/// A form as far as it has been read.
pub(super) struct FormReader<'a> {
    reader: Reader<'a>,
    len: usize,
}

impl<'a> FormReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), len: bytes.len() }
    }

    /// How many bytes have been read.
    fn position(&self) -> usize {
        self.len - self.reader.rest().len()
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        self.reader.finish()
    }
}

/// What can be written into a form and read from it again.
pub(super) trait Compact: Sized {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong>;
    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError>;
}

/// A text or a list that a form cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    pub(super) len: usize,
}

/// The most bytes of a text, and the most items of a list.
pub(super) const MOST: usize = u16::MAX as usize;

fn write_len(len: usize, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let len = u16::try_from(len).map_err(|_| TooLong { len })?;
    out.extend_from_slice(&len.to_be_bytes());
    Ok(())
}

fn read_len(form: &mut FormReader<'_>) -> Result<usize, DecodeError> {
    Ok(form.reader.u16("a length")?.into())
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Compact for $number {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
                out.extend_from_slice(&self.to_be_bytes());
                Ok(())
            }

            fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(form.reader.array("a number")?))
            }
        }
    )*};
}

numbers!(u8, u32, u64, f64);

impl Compact for bool {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        u8::from(*self).write(out)
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        match form.reader.u8("yes or no")? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Unknown { field: "yes or no", value: value.into() }),
        }
    }
}

impl Compact for String {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write_len(self.len(), out)?;
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        let len = read_len(form)?;
        let text = std::str::from_utf8(form.reader.take("a text", len)?);
        text.map(str::to_owned)
            .map_err(|_| DecodeError::Invalid { field: "a text", reason: "is not UTF-8" })
    }
}

impl<const N: usize> Compact for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        form.reader.array("a digest")
    }
}

/// A value has the place in the form where it stands, so that what came first in the file still does.
impl<T: Compact> Compact for At<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        self.get_ref().write(out)
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        let start = form.position();
        let value = T::read(form)?;
        Ok(Self::new(start..form.position(), value))
    }
}

impl<T: Compact> Compact for Option<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        self.is_some().write(out)?;
        self.as_ref().map_or(Ok(()), |value| value.write(out))
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        bool::read(form)?.then(|| T::read(form)).transpose()
    }
}

impl<T: Compact> Compact for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write_len(self.len(), out)?;
        self.iter().try_for_each(|item| item.write(out))
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        let mut items = Self::new();
        for _ in 0..read_len(form)? {
            items.push(T::read(form)?);
        }
        Ok(items)
    }
}

/// In the order of the file.
impl<K: Compact + Ord, V: Compact> Compact for BTreeMap<At<K>, V> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write_len(self.len(), out)?;
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().try_for_each(|(key, value)| {
            key.write(out)?;
            value.write(out)
        })
    }

    fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
        let mut entries = Self::new();
        for _ in 0..read_len(form)? {
            if entries.insert(At::read(form)?, V::read(form)?).is_some() {
                return Err(DecodeError::Invalid { field: "a table", reason: "has a key twice" });
            }
        }
        Ok(entries)
    }
}
