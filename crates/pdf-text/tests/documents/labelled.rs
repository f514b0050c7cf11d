//! Generated pages of several kinds, with the text that a person reads on them. Each kind has a minimum
//! share of lines that must be read exactly.

mod helvetica;
mod prose;
mod statements;
mod tables;

use std::collections::HashMap;

use pdf_text::{Extraction, Limits};

use crate::extract;
use crate::random::Random;

/// Number of documents of each kind.
const DOCUMENTS: u64 = 12;

/// Words of all kinds of pages.
const WORDS: [&str; 40] = [
    "harbour", "pilot", "vessel", "quay", "the", "of", "and", "member", "annual", "meeting",
    "report", "fee", "paid", "winter", "rope", "anchor", "north", "light", "of", "the", "in",
    "council", "salmon", "timber", "cargo", "office", "winch", "chain", "with", "from", "tide",
    "repair", "engine", "pump", "lamp", "storm", "market", "ferry", "island", "bridge",
];

/// A document and the lines that a person reads.
struct Labelled {
    file: Vec<u8>,
    lines: Vec<String>,
}

/// Returns this number of words, of which the first starts with a capital.
fn phrase(random: &mut Random, words: usize) -> String {
    let words: Vec<&str> = (0..words)
        .map(|_| WORDS[random.below(WORDS.len())])
        .collect();
    let text = words.join(" ");
    text[..1].to_uppercase() + &text[1..]
}

async fn read(file: &[u8]) -> Extraction {
    extract(Limits::default(), file)
        .await
        .expect("the document can be read")
}

/// Asserts that at least `percent` of the lines of the documents are read, each as often as it is
/// there.
async fn assert_lines(kind: &str, percent: usize, document: impl Fn(&mut Random) -> Labelled) {
    let (mut expected, mut lost) = (0, Vec::new());
    for seed in 0..DOCUMENTS {
        let Labelled { file, lines } = document(&mut Random::new(seed));
        let extraction = read(&file).await;
        let mut read: HashMap<&str, usize> = HashMap::new();
        for line in extraction.pages.iter().flat_map(|page| page.text.lines()) {
            *read.entry(line).or_default() += 1;
        }
        expected += lines.len();
        for line in lines {
            match read.get_mut(line.as_str()).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => lost.push(format!("{seed}: {line:?}")),
            }
        }
    }
    let read = expected - lost.len();
    eprintln!("{kind}: {read} of {expected} lines");
    assert!(
        read * 100 >= expected * percent,
        "{kind}: {read} of {expected} lines are read; not read: {lost:#?}"
    );
}

#[tokio::test]
async fn tables_without_rulings() {
    assert_lines("tables without rulings", 97, |random| {
        tables::document(random, false)
    })
    .await;
}

#[tokio::test]
async fn tables_with_rulings() {
    assert_lines("tables with rulings", 99, |random| {
        tables::document(random, true)
    })
    .await;
}

#[tokio::test]
async fn columns_of_prose() {
    assert_lines("columns of prose", 97, prose::document).await;
}

#[tokio::test]
async fn statements_of_several_pages() {
    assert_lines("statements", 100, statements::document).await;
}

#[tokio::test]
async fn one_invoice_on_each_page() {
    assert_lines("invoices", 100, statements::invoices).await;
}
