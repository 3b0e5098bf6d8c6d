//! Extensions of reports, tasks, aggregation jobs and collection jobs: one shape for four
//! registries (§4.2.2, §4.4.3, §4.5.1, §4.6.2).
//!
//! Everywhere a list must be in strictly increasing order of its types, but what follows from a
//! list that is not differs: a report is refused alone, a job as a whole. So a list decodes as
//! [`UncheckedExtensions`], and whoever knows what to answer calls [`UncheckedExtensions::check`].

use super::codec::{Decode, DecodeError, Encode, LengthError, Opaque, Reader, U16, encode_vector};

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The code point, in the registry of the list it stands in.
    pub extension_type: u16,
    /// What the extension says.
    pub extension_data: Opaque<0, U16>,
}

impl Encode for Extension {
    fn encode(&self, out: &mut Vec<u8>) {
        self.extension_type.encode(out);
        self.extension_data.encode(out);
    }
}

impl Decode for Extension {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            extension_type: reader.u16("extension type")?,
            extension_data: Opaque::decode(reader)?,
        })
    }
}

/// A list of extensions as it came, in whatever order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UncheckedExtensions(Vec<Extension>);

impl UncheckedExtensions {
    /// A list in the order given, if it fits its field.
    pub fn new(extensions: Vec<Extension>) -> Result<Self, LengthError> {
        let len: usize = extensions.iter().map(|e| 4 + e.extension_data.as_bytes().len()).sum();
        if len > U16 {
            return Err(LengthError { len, min: 0, max: U16 });
        }
        Ok(Self(extensions))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The extensions in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }

    /// Checks that types strictly increase.
    pub fn check(&self) -> Result<&[Extension], DecodeError> {
        let pairs = self.0.windows(2).map(|pair| (pair[0].extension_type, pair[1].extension_type));
        match pairs.into_iter().find(|(previous, next)| previous >= next) {
            Some((previous, next)) => Err(DecodeError::ExtensionOrder { previous, next }),
            None => Ok(&self.0),
        }
    }
}

impl Encode for UncheckedExtensions {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_vector(out, U16, |out| self.0.encode(out));
    }
}

impl Decode for UncheckedExtensions {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Reader::new(reader.vector("extensions", 0, U16)?).items()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(types: &[u16]) -> UncheckedExtensions {
        let extension = |extension_type: &u16| Extension {
            extension_type: *extension_type,
            extension_data: vec![7].try_into().unwrap(),
        };
        UncheckedExtensions::new(types.iter().map(extension).collect()).unwrap()
    }

    #[test]
    fn only_strictly_increasing_types_pass_the_check() {
        assert!(list(&[]).check().is_ok());
        assert!(list(&[1, 2, 9]).check().is_ok());
        let unsorted = DecodeError::ExtensionOrder { previous: 9, next: 2 };
        assert_eq!(list(&[1, 9, 2]).check(), Err(unsorted));
        assert!(list(&[3, 3]).check().is_err());
    }

    #[test]
    fn a_list_that_ends_inside_an_extension_is_malformed() {
        assert!(UncheckedExtensions::from_bytes(&[0, 3, 0, 1, 0]).is_err());
        assert!(UncheckedExtensions::from_bytes(&[0, 5, 0, 1, 0, 2, 7]).is_err());
    }
}
