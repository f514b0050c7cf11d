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

/// Minimum number of cells of a row that is compared.
const MIN_CELLS: usize = 4;
/// Minimum number of spaces between two cells.
const CELL_GAP: &str = "  ";

/// Number of rows of tables, and of those that are whole in a text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    pub(crate) whole: usize,
}

/// Returns how many of the rows that poppler sees in the file have their first and last cell on one
/// line of `text`.
pub(crate) fn rows(file: &Path, text: &str) -> Result<Rows> {
    let output = Command::new("pdftotext")
        .args(["-q", "-layout", "-enc", "UTF-8"])
        .arg(file)
        .arg("-")
        .stderr(Stdio::null())
        .output()
        .context("failed to run pdftotext (Debian: apt-get install poppler-utils)")?;
    let layout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> = text.lines().map(letters).collect();
    let mut rows = Rows::default();
    for line in layout.lines() {
        let cells: Vec<String> = line
            .split(CELL_GAP)
            .map(letters)
            .filter(|cell| !cell.is_empty())
            .collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else {
            continue;
        };
        if cells.len() < MIN_CELLS {
            continue;
        }
        rows.count += 1;
        let follows = |line: &str, first: &str, last: &str| {
            line.split_once(first)
                .is_some_and(|(_, after)| after.contains(last))
        };
        // Poppler writes the cells of right-to-left rows as they look, from left to right.
        let is_reversed = cells.iter().any(|cell| cell.contains(RIGHT_TO_LEFT));
        let is_whole = lines
            .iter()
            .any(|line| follows(line, first, last) || (is_reversed && follows(line, last, first)));
        rows.whole += usize::from(is_whole);
    }
    Ok(rows)
}

/// Whether a character is of a right-to-left script.
const RIGHT_TO_LEFT: fn(char) -> bool = |mark| matches!(mark, '\u{590}'..='\u{8ff}');

/// Returns the text without spaces, dot leaders, direction marks and glyphs that poppler cannot read,
/// in one form of its characters.
fn letters(text: &str) -> String {
    text.nfkc()
        .map(|mark| if matches!(mark, '\u{2010}' | '\u{2011}') { '-' } else { mark })
        .filter(|mark| {
            !mark.is_whitespace()
                && !matches!(mark, '.' | '_' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
        })
        .collect()
}
