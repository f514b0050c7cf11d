//! What a search finds: by meaning and by words, before embeddings exist, and from which page.

use std::fmt::Write as _;

use app::ask::MessageState;
use app::ask::retrieve::{self, SearchQuery};
use rag::Fusion;

use super::support::ChatFixture;

/// Pages with twenty error codes each, which all look alike.
fn error_codes() -> Vec<String> {
    (10..20)
        .map(|page| {
            let mut text = format!("Error codes, part {page}\n");
            for code in page * 20..page * 20 + 20 {
                let _ = writeln!(
                    text,
                    "E{code}\tSensor {} failed\tReplace the sensor",
                    code * 7
                );
            }
            text
        })
        .collect()
}

#[tokio::test]
async fn an_exact_code_finds_its_row_first_with_and_without_the_model() {
    let mut fixture = ChatFixture::start().await;
    let pages = error_codes();
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    fixture.document("Error codes", &pages).await;
    let process = fixture.process_with(None);
    for model in [true, false] {
        if !model {
            fixture.workspace.embedding_model = Some("an-old-model".to_owned());
        }
        for code in [203, 271, 272, 399] {
            let question = format!("What does E{code} mean?");
            let answer = fixture.answered(&process, &question).await;
            assert_eq!(answer.state, MessageState::Complete, "{question}");
            let first = &answer.citations[0];
            assert!(
                first
                    .quote
                    .starts_with(&format!("E{code} Sensor {}", code * 7)),
                "{question} {}",
                first.quote
            );
            assert_eq!(first.page, code / 20 - 9, "{question}");
        }
    }
    // A code that no document contains.
    let missing = fixture.answered(&process, "E999").await;
    assert_eq!(missing.state, MessageState::NotFound);
}

#[tokio::test]
async fn a_document_is_found_by_its_words_before_its_embeddings_exist() {
    let fixture = ChatFixture::start().await;
    fixture
        .document("Lease", &["The monthly rent is 1,200 euros."])
        .await;
    let new = fixture
        .document("Pump", &["The impeller must be greased every 500 hours."])
        .await;
    sqlx::query(
        "DELETE FROM chunk_embeddings WHERE chunk_id IN (SELECT id FROM chunks WHERE document_id = $1)",
    )
    .bind(new.0)
    .execute(fixture.database.pool())
    .await
    .unwrap();
    let process = fixture.process_with(None);
    let answer = fixture
        .answered(&process, "How often must the impeller be greased?")
        .await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(answer.citations[0].document, new);
}

#[tokio::test]
async fn a_word_in_most_chunks_does_not_limit_what_is_found() {
    let fixture = ChatFixture::start().await;
    let id = fixture
        .document("Log", &["The zebra device is ready."])
        .await;
    // More chunks with a common word than the search counts.
    sqlx::query(
        "INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count)
         SELECT gen_random_uuid(), $1, number, 1, 1, 100 * number, 'The device number ' || number || ' is ready.', 8
         FROM generate_series(1, 5000) AS number",
    )
    .bind(id.0)
    .execute(fixture.database.pool())
    .await
    .unwrap();
    for (question, expected) in [
        ("Is the zebra device ready?", "zebra"),
        ("Is the device number 4711 ready?", "4711"),
    ] {
        let query = SearchQuery {
            embedding: None,
            terms: rag::terms(question),
            documents: Vec::new(),
            fusion: Fusion::default(),
        };
        let found = retrieve::search(fixture.database.pool(), &query)
            .await
            .unwrap();
        assert!(found.relevance.is_sufficient(), "{question}");
        let first = &found.passages[0];
        assert!(
            first.text[first.found.clone()].contains(expected),
            "{question} {first:?}"
        );
    }
    // All of its terms are common.
    let query = SearchQuery {
        embedding: None,
        terms: rag::terms("device ready"),
        documents: Vec::new(),
        fusion: Fusion::default(),
    };
    let found = retrieve::search(fixture.database.pool(), &query)
        .await
        .unwrap();
    assert!(!found.passages.is_empty());
}

#[tokio::test]
async fn questions_are_data_whatever_they_contain() {
    let fixture = ChatFixture::start().await;
    fixture
        .document("Lease", &["The monthly rent is 1,200 euros."])
        .await;
    for question in [
        "'); DROP TABLE chunks; --",
        "rent & | ! <-> ( ) : * ' \\ rent",
        "'rent':* | -1200 \u{feff}\u{202e}",
        "a-b-c/d.e_f @#$ \u{1f469}\u{200d}\u{1f4bb} x'y\\z 'unclosed",
        "\u{130}\u{df}\u{fb01}\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{4e2d}\u{6587}",
        "?",
    ] {
        let query = SearchQuery {
            embedding: None,
            terms: rag::terms(question),
            documents: Vec::new(),
            fusion: Fusion::default(),
        };
        retrieve::search(fixture.database.pool(), &query)
            .await
            .unwrap_or_else(|error| panic!("{question}: {error}"));
    }
    let rent = SearchQuery {
        embedding: None,
        terms: rag::terms("monthly rent"),
        documents: Vec::new(),
        fusion: Fusion::default(),
    };
    let found = retrieve::search(fixture.database.pool(), &rent)
        .await
        .unwrap();
    assert_eq!(found.passages.len(), 1);
}
