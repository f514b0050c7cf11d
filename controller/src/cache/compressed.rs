//! Compressed bytes in memory: a fifth of the original size, decompressed in a few microseconds.
//!
//! Tenants have most of their JSON in common: field names, conditions, messages. A dictionary
//! contains the common parts, so that little more than the ids and timestamps of each Tenant
//! remains. Compressed data is never stored outside the process.

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

/// The common parts of the JSON of Tenants that are ready, in the order of the JSON. The dictionary
/// affects only the compression ratio.
static DICTIONARY: &[u8] = include_bytes!("typical_tenant.txt");

#[derive(Clone, Debug)]
pub(super) struct Compressed {
    bytes: Box<[u8]>,
    /// In bytes.
    uncompressed_length: u32,
}

impl Compressed {
    /// `data` must be smaller than 4 GiB; the API server limits objects to a few megabytes.
    pub(super) fn new(data: &[u8]) -> Self {
        Self {
            bytes: compress_with_dict(data, DICTIONARY).into_boxed_slice(),
            uncompressed_length: u32::try_from(data.len()).unwrap_or(u32::MAX),
        }
    }

    /// `None` only if the memory is corrupt.
    pub(super) fn decompress(&self) -> Option<Vec<u8>> {
        decompress_with_dict(&self.bytes, self.uncompressed_length as usize, DICTIONARY).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_data_survives_a_round_trip() {
        for text in [&b""[..], b"x", DICTIONARY, &vec![0_u8; 100_000]] {
            assert_eq!(Compressed::new(text).decompress().as_deref(), Some(text));
        }
    }

    #[test]
    fn data_similar_to_the_dictionary_compresses_to_less_than_a_quarter() {
        let text = String::from_utf8(DICTIONARY.to_vec()).unwrap();
        let text = text
            .replace("2026-01-01", "2031-12-24")
            .replace("\"name\":\"\"", "\"name\":\"acme\"");
        let compressed = Compressed::new(text.as_bytes());
        assert!(
            compressed.bytes.len() * 4 < text.len(),
            "{} of {} bytes",
            compressed.bytes.len(),
            text.len()
        );
    }
}
