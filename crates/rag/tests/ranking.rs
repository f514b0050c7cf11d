//! Tests of ranking, relevance and quotes.

use rag::{Candidate, Passage, Relevance, Scale, extractive_answer, passages};
use uuid::Uuid;

fn found(document: u128, text: &str, score: f32) -> Candidate {
    Candidate {
        document: Uuid::from_u128(document),
        ordinal: 0,
        page: 1,
        char_offset: 0,
        text: text.to_owned(),
        score: Some(score),
        meaning: None,
        words: 0.0,
    }
}

fn passage(text: &str) -> Passage {
    Passage {
        number: 1,
        document: Uuid::from_u128(1),
        page: 1,
        page_from: 1,
        page_to: 1,
        text: text.to_owned(),
        found: 0..text.len(),
        pages: vec![(0, 1)],
        score: 0.5,
        token_count: 1,
    }
}

#[test]
fn an_index_is_quoted_only_if_nothing_else_is_found() {
    let index = "BLAS library\t47, 71\nByte order\t12\nCompilers\t3-5, 9";
    let both = vec![
        found(1, index, 0.9),
        found(2, "The BLAS library is optional.", 0.5),
    ];
    let quoted = passages(both, 3_000);
    assert_eq!((quoted.len(), quoted[0].document.as_u128()), (1, 2));
    // It may be a table that only looks like an index.
    assert_eq!(passages(vec![found(1, index, 0.9)], 3_000).len(), 1);
}

#[test]
fn passages_about_another_subject_than_the_best_one_are_not_quoted() {
    let candidate = |document, words, meaning, score| Candidate {
        words,
        meaning,
        ..found(document, &format!("Tower {document} has a height."), score)
    };
    let quoted = |candidates: &[Candidate]| -> Vec<u128> {
        passages(candidates.to_vec(), 3_000)
            .iter()
            .map(|passage| passage.document.as_u128())
            .collect()
    };
    let eiffel = candidate(1, 0.8, Some(0.8), 0.8);
    let other = candidate(2, 0.3, Some(0.6), 0.45);
    assert_eq!(quoted(&[other.clone(), eiffel.clone()]), [1]);
    let without_embeddings = |candidate: &Candidate| Candidate {
        meaning: None,
        ..candidate.clone()
    };
    assert_eq!(
        quoted(&[without_embeddings(&other), without_embeddings(&eiffel)]),
        [1]
    );
    // The same in other words.
    let paraphrase = candidate(3, 0.1, Some(0.9), 0.5);
    assert_eq!(quoted(&[eiffel.clone(), paraphrase]), [1, 3]);
    // As many of the terms, such as in a comparison.
    let second = candidate(4, 0.5, Some(0.5), 0.5);
    assert_eq!(quoted(&[eiffel.clone(), second]), [1, 4]);
    // The terms do not show what the question is about.
    let vague = candidate(5, 0.4, Some(0.9), 0.65);
    assert_eq!(quoted(&[vague, other.clone()]), [5, 2]);
    // An index contains all terms, but is not quoted.
    let index = Candidate {
        text: "Eiffel Tower\t47, 71\nHeight\t12\nParis\t3-5, 9".to_owned(),
        ..candidate(6, 1.0, Some(0.9), 0.95)
    };
    assert_eq!(quoted(&[index, other.clone()]), [2]);
    // Beside the best chunk, it is its context.
    let neighbor = Candidate {
        document: eiffel.document,
        ordinal: 1,
        char_offset: eiffel.text.chars().count(),
        ..other
    };
    let found = passages(vec![eiffel, neighbor], 3_000);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text.matches("height").count(), 2);
}

#[test]
fn each_model_has_its_own_scale() {
    let local = Scale::of_model("all-MiniLM-L6-v2");
    let is_sufficient =
        |cosine, words| Relevance::new(Some(local.meaning(cosine)), words).is_sufficient();
    assert!(!is_sufficient(0.17, 0.2) && is_sufficient(0.48, 0.6));
    for (name, unrelated, answer) in [
        ("text-embedding-3-small", 0.1, 0.5),
        ("text-embedding-3-small:512", 0.1, 0.5),
        ("text-embedding-ada-002", 0.7, 0.85),
    ] {
        let scale = Scale::of_model(name);
        assert!(
            scale.meaning(unrelated) < 0.1 && scale.meaning(answer) > 0.7,
            "{name}"
        );
    }
    assert!(Scale::of_model("unknown-model").meaning(0.1) > 0.4);
    assert!(Scale::of_model("unknown-model").meaning(f32::MAX) <= 1.0);
}

#[test]
fn a_chunk_without_an_embedding_is_relevant_if_it_has_half_of_the_terms() {
    assert!(Relevance::new(None, 0.5).is_sufficient());
    assert!(!Relevance::new(None, 0.4).is_sufficient());
}

#[test]
fn a_row_of_a_table_is_quoted_from_its_start() {
    let rows: Vec<String> = (250..300)
        .map(|code| format!("E{code}\tThe sensor number {code} has failed\tReplace the sensor"))
        .collect();
    let quotes = extractive_answer("What does E271 mean?", &[passage(&rows.join("\n"))]);
    assert!(quotes[0].quote.starts_with("E271 The sensor"), "{quotes:?}");
}

#[test]
fn the_page_of_a_quote_is_the_page_of_the_words_that_answer() {
    let text = "The pump is blue. Its\nfilter is changed every 500 hours. Wear gloves.";
    for (start_of_page, expected) in [("filter", 8), ("Wear", 7), ("hours", 7)] {
        let mut spanning = passage(text);
        spanning.pages = vec![(0, 7), (text.find(start_of_page).unwrap(), 8)];
        let quotes = extractive_answer("How often is the filter changed?", &[spanning]);
        assert_eq!(quotes[0].page, expected, "{start_of_page}");
    }
}
