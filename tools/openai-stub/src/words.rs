//! Texts as vectors without a model: each word adds to a few coordinates that its hash chooses, so that texts that share words are near.

use sha2::{Digest as _, Sha256};

/// Words with the same beginning of so many characters count as one: forms of a word are near each other.
const STEM_CHARS: usize = 5;
/// Shorter words are articles and the like and weigh little.
const HEAVY_CHARS_MIN: usize = 4;
const LIGHT: f32 = 0.05;
/// Coordinates that a word adds to.
const COORDINATES: usize = 4;

/// The words of a text, lower-case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// What a word is compared by.
pub(crate) fn stem(word: &str) -> String {
    word.chars().take(STEM_CHARS).collect()
}

pub(crate) fn is_heavy(word: &str) -> bool {
    word.chars().count() >= HEAVY_CHARS_MIN || word.chars().any(char::is_numeric)
}

/// The text's vector: of length 1, and the same for the same text, always.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    if dimensions == 0 {
        return vector;
    }
    for word in words(text) {
        let weight = if is_heavy(&word) { 1.0 } else { LIGHT };
        let digest = Sha256::digest(stem(&word).as_bytes());
        for place in digest.chunks_exact(5).take(COORDINATES) {
            let at =
                u32::from_be_bytes([place[0], place[1], place[2], place[3]]) as usize % dimensions;
            vector[at] += if place[4] & 1 == 0 { weight } else { -weight };
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
        // Nothing to go by: a direction of its own.
        vector[0] = 1.0;
    }
    vector
}
