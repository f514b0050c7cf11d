//! Keeps embeddings between runs, because the local model takes minutes for all documents. A file
//! of records: the SHA-256 of a text and its vector.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Of the local model.
const DIMENSIONS: usize = 384;
const KEY_BYTES: usize = 32;
const RECORD_BYTES: usize = KEY_BYTES + DIMENSIONS * size_of::<f32>();

pub(crate) struct VectorCache {
    file: File,
    vectors: HashMap<[u8; KEY_BYTES], Vec<f32>>,
}

impl VectorCache {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().context("the cache has no folder")?;
        fs::create_dir_all(folder)?;
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let bytes = fs::read(path)?;
        let records = bytes.chunks_exact(RECORD_BYTES);
        // An interrupted run leaves a partial record.
        file.set_len(u64::try_from(bytes.len() - records.remainder().len())?)?;
        let vectors = records.filter_map(record).collect();
        Ok(Self { file, vectors })
    }

    pub(crate) fn get(&self, key: &[u8; KEY_BYTES]) -> Option<&Vec<f32>> {
        self.vectors.get(key)
    }

    pub(crate) fn add(
        &mut self,
        vectors: impl Iterator<Item = ([u8; KEY_BYTES], Vec<f32>)>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (key, vector) in vectors {
            bytes.extend(key);
            bytes.extend(vector.iter().flat_map(|number| number.to_le_bytes()));
            self.vectors.insert(key, vector);
        }
        self.file.write_all(&bytes)?;
        Ok(())
    }
}

fn record(bytes: &[u8]) -> Option<([u8; KEY_BYTES], Vec<f32>)> {
    let (key, numbers) = bytes.split_first_chunk::<KEY_BYTES>()?;
    let numbers = numbers
        .chunks_exact(size_of::<f32>())
        .filter_map(|number| Some(f32::from_le_bytes(number.try_into().ok()?)));
    Some((*key, numbers.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_kept_and_a_partial_record_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache/vectors");
        let vector = |seed: f32| vec![seed; DIMENSIONS];
        let mut cache = VectorCache::open(&path).expect("open the cache");
        cache
            .add([([1; 32], vector(0.5)), ([2; 32], vector(-2.0))].into_iter())
            .expect("write");
        drop(cache);
        let mut bytes = fs::read(&path).expect("read");
        bytes.truncate(bytes.len() - 1);
        fs::write(&path, bytes).expect("write");
        let mut cache = VectorCache::open(&path).expect("open the cache");
        assert_eq!(cache.get(&[1; 32]), Some(&vector(0.5)));
        assert_eq!(cache.get(&[2; 32]), None);
        cache
            .add([([3; 32], vector(3.0))].into_iter())
            .expect("write");
        let cache = VectorCache::open(&path).expect("open the cache");
        assert_eq!(cache.get(&[3; 32]), Some(&vector(3.0)));
    }
}
