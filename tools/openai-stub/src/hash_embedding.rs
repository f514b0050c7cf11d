//! Embeddings without a model: each word contributes to a few dimensions chosen by its hash, so
//! that texts that share words have similar vectors.

use sha2::{Digest as _, Sha256};

/// Words with the same first characters, up to this number, are equal, so that forms of a word are
/// similar.
const STEM_CHARS: usize = 5;
/// Minimum length of a significant word. Shorter words, such as articles, have a low weight.
const MIN_SIGNIFICANT_CHARS: usize = 4;
const INSIGNIFICANT_WEIGHT: f32 = 0.05;
/// Number of dimensions to which a word contributes.
const DIMENSIONS_PER_WORD: usize = 4;

/// Returns the words of a text in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Returns the stem by which words are compared.
pub(crate) fn stem(word: &str) -> String {
    word.chars().take(STEM_CHARS).collect()
}

pub(crate) fn is_significant(word: &str) -> bool {
    word.chars().count() >= MIN_SIGNIFICANT_CHARS || word.chars().any(char::is_numeric)
}

/// Returns the vector of a text. It has length 1 and is deterministic.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    if dimensions == 0 {
        return vector;
    }
    for word in words(text) {
        let weight = if is_significant(&word) {
            1.0
        } else {
            INSIGNIFICANT_WEIGHT
        };
        let digest = Sha256::digest(stem(&word).as_bytes());
        for bytes in digest.chunks_exact(5).take(DIMENSIONS_PER_WORD) {
            let at =
                u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize % dimensions;
            vector[at] += if bytes[4] & 1 == 0 { weight } else { -weight };
        }
    }
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    if length > 0.0 {
        for number in &mut vector {
            *number /= length;
        }
    } else {
        // A text without words gets a fixed vector.
        vector[0] = 1.0;
    }
    vector
}
