//! Comparison with poppler's `pdftotext`.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use unicode_normalization::UnicodeNormalization as _;

/// Returns the text that poppler extracts. `None` if it rejects the file.
pub(crate) fn text(file: &Path) -> Result<Option<String>> {
    let output = Command::new("pdftotext")
        .args(["-q", "-enc", "UTF-8"])
        .arg(file)
        .arg("-")
        .stderr(Stdio::null())
        .output()
        .context("failed to run pdftotext (Debian: apt-get install poppler-utils)")?;
    Ok(output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Agreement of the words of two texts, from 0 to 1: the harmonic mean of precision and recall over
/// words with a letter or digit, ignoring their order. Two texts without words agree.
pub(crate) fn word_f1(ours: &str, theirs: &str) -> f64 {
    let (ours, theirs) = (words(ours), words(theirs));
    let total: usize = ours.values().sum::<usize>() + theirs.values().sum::<usize>();
    let common: usize = ours
        .iter()
        .map(|(word, count)| theirs.get(word).unwrap_or(&0).min(count))
        .sum();
    if total == 0 {
        return 1.0;
    }
    let share = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    2.0 * share(common) / share(total)
}

fn words(text: &str) -> HashMap<String, usize> {
    let mut words = HashMap::new();
    for word in text.split_whitespace() {
        if word.chars().any(char::is_alphanumeric) {
            *words.entry(word.nfkc().collect()).or_default() += 1;
        }
    }
    words
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
