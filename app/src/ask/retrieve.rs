//! Retrieval: from a question to passages, in the tenant's database.
//!
//! If the model of the workspace's embeddings is available, this is an exact cosine search, which is
//! fast enough up to tens of thousands of chunks per workspace. Otherwise it is PostgreSQL's
//! full-text search.

use std::collections::HashMap;

use llm::{Models, Purpose};
use pgvector::Vector;
use rag::{Candidate, Passage, Relevance};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{MAX_PASSAGE_TOKENS, NEAREST_CHUNKS};
use crate::ids::DocumentId;

/// Terms of a question used for full-text search.
const MAX_TERMS: usize = 16;
/// Shorter words are mostly articles and the like; words with digits and words outside ASCII are
/// kept at any length.
const MIN_TERM_CHARS: usize = 4;

/// The retrieved passages, best first. Empty if nothing is relevant enough.
pub(super) struct Retrieved {
    pub(super) passages: Vec<Passage>,
    /// The title of each passage's document, in the order of the passages.
    pub(super) titles: Vec<String>,
    /// Whether full-text search was used because the model is unavailable.
    pub(super) is_full_text: bool,
}

/// Retrieves passages that may answer the question. `model` is the model of the workspace's
/// embeddings.
pub(super) async fn passages(
    database: &PgPool,
    models: &Models,
    model: Option<&str>,
    question: &str,
    document: Option<DocumentId>,
) -> Result<Retrieved, sqlx::Error> {
    let mut candidates = Vec::new();
    let embedded = embed(models, model, question).await;
    let is_full_text = embedded.is_none();
    if let Some((model, vector)) = embedded {
        let relevance = Relevance::of_model(&model);
        for row in &nearest(database, &model, vector, document).await? {
            candidates.extend(candidate(row)?.filter(|(candidate, _)| {
                candidate
                    .score
                    .is_none_or(|cosine| relevance.is_near(cosine))
            }));
        }
    } else {
        for row in &full_text(database, question, document).await? {
            candidates.extend(candidate(row)?);
        }
    }
    let titles_by_document: HashMap<Uuid, String> = candidates
        .iter()
        .map(|(candidate, title)| (candidate.document, title.clone()))
        .collect();
    let passages = rag::passages(
        candidates
            .into_iter()
            .map(|(candidate, _)| candidate)
            .collect(),
        MAX_PASSAGE_TOKENS,
    );
    let titles = passages
        .iter()
        .map(|passage| {
            titles_by_document
                .get(&passage.document)
                .cloned()
                .unwrap_or_default()
        })
        .collect();
    Ok(Retrieved {
        passages,
        titles,
        is_full_text,
    })
}

/// Embeds the question with the model of the workspace's embeddings; `None` if the model is
/// unavailable.
async fn embed(models: &Models, model: Option<&str>, question: &str) -> Option<(String, Vector)> {
    let embedder = models.embedder_named(model?)?;
    match embedder
        .embed(&[question.to_owned()], Purpose::Question)
        .await
    {
        Ok(vectors) => Some((
            embedder.name().to_owned(),
            Vector::from(vectors.into_iter().next()?),
        )),
        Err(error) => {
            tracing::warn!(
                error.kind = error.kind(),
                error = %service_kit::error_chain(&error),
                "failed to embed a question, falling back to full-text search"
            );
            None
        }
    }
}

const CHUNK_COLUMNS: &str = "c.document_id, c.ordinal, c.page_from, c.char_offset, c.text, d.title";

/// Extends a query for matching chunks by the chunks next to them.
fn with_neighbors(hits: &str) -> String {
    format!(
        "WITH hits AS MATERIALIZED ({hits})
         SELECT {CHUNK_COLUMNS}, h.score FROM hits h JOIN chunks c ON c.id = h.chunk_id JOIN documents d ON d.id = c.document_id
         UNION ALL
         SELECT {CHUNK_COLUMNS}, NULL FROM (
             SELECT DISTINCT f.document_id, f.ordinal + step AS ordinal
             FROM hits h JOIN chunks f ON f.id = h.chunk_id CROSS JOIN (VALUES (-1), (1)) AS steps (step)) n
         JOIN chunks c ON c.document_id = n.document_id AND c.ordinal = n.ordinal JOIN documents d ON d.id = c.document_id"
    )
}

async fn nearest(
    database: &PgPool,
    model: &str,
    vector: Vector,
    document: Option<DocumentId>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let document_filter = match document {
        Some(_) => "AND e.chunk_id IN (SELECT id FROM chunks WHERE document_id = $4)",
        None => "AND $4::uuid IS NULL",
    };
    let query = with_neighbors(&format!(
        "SELECT e.chunk_id, (1 - (e.embedding <=> $1))::real AS score FROM chunk_embeddings e
         WHERE e.model = $2 {document_filter} ORDER BY e.embedding <=> $1, e.chunk_id LIMIT $3"
    ));
    sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(vector)
        .bind(model)
        .bind(NEAREST_CHUNKS)
        .bind(document.map(|document| document.0))
        .fetch_all(database)
        .await
}

/// Chunks that contain at least half of the question's terms, most terms first.
async fn full_text(
    database: &PgPool,
    question: &str,
    document: Option<DocumentId>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let terms = terms(question);
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let query = with_neighbors(
        "SELECT chunk_id, (matched + rank / (1 + rank))::real AS score FROM (
             SELECT c.id AS chunk_id, ts_rank_cd(c.search, asked.any_of) AS rank,
                 (SELECT count(*) FROM unnest($1::text[]) AS term WHERE c.search @@ plainto_tsquery('simple', term)) AS matched
             FROM chunks c, (SELECT to_tsquery('simple', string_agg(quote_literal(term), ' | ')) AS any_of FROM unnest($1::text[]) AS term) asked
             WHERE c.search @@ asked.any_of AND ($4::uuid IS NULL OR c.document_id = $4)) ranked
         WHERE matched * 2 >= $2 ORDER BY score DESC, chunk_id LIMIT $3",
    );
    let count = i64::try_from(terms.len()).unwrap_or(i64::MAX);
    sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(terms)
        .bind(count)
        .bind(NEAREST_CHUNKS)
        .bind(document.map(|document| document.0))
        .fetch_all(database)
        .await
}

fn terms(question: &str) -> Vec<String> {
    let mut terms: Vec<String> = question
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| {
            word.chars().count() >= MIN_TERM_CHARS
                || word.chars().any(char::is_numeric)
                || (!word.is_empty() && !word.is_ascii())
        })
        .map(str::to_lowercase)
        .collect();
    terms.sort_unstable();
    terms.dedup();
    // Longer terms are more specific.
    terms.sort_by_key(|term| std::cmp::Reverse(term.chars().count()));
    terms.truncate(MAX_TERMS);
    terms
}

fn candidate(row: &PgRow) -> Result<Option<(Candidate, String)>, sqlx::Error> {
    let number = |column: &str| row.try_get::<i32, _>(column);
    let (Ok(page), Ok(char_offset)) = (
        u32::try_from(number("page_from")?),
        usize::try_from(number("char_offset")?),
    ) else {
        // The schema forbids negative numbers.
        return Ok(None);
    };
    let candidate = Candidate {
        document: row.try_get("document_id")?,
        ordinal: number("ordinal")?,
        page,
        char_offset,
        text: row.try_get("text")?,
        score: row.try_get("score")?,
    };
    Ok(Some((candidate, row.try_get("title")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_specific_words_become_search_terms() {
        assert_eq!(
            terms("What is the torque of an M8 bolt, and of an M8 nut? \u{5e9}\u{5dc}"),
            ["torque", "bolt", "what", "m8", "\u{5e9}\u{5dc}"]
        );
        assert!(terms("is it so? \u{1f469}").is_empty());
        assert_eq!(terms(&"word1 word2 word3 ".repeat(100)).len(), 3);
    }
}
