//! Retrieval: from a question to passages, in the tenant's database.
//!
//! One statement finds the chunks that are nearest in meaning and those that contain the most
//! specific words of the question, and ranks both together. A chunk whose embedding does not exist
//! yet, or any chunk if the model is unavailable, is ranked by words alone.

mod statement;

use std::collections::HashMap;

use llm::{Models, Purpose};
use pgvector::Vector;
use rag::{Candidate, Fusion, Passage, Relevance, Scale, Term};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::MAX_PASSAGE_TOKENS;
use crate::ids::DocumentId;
pub use statement::MAX_INDEXED_DIMENSIONS;

/// A question as it is searched for.
#[derive(Debug)]
pub struct SearchQuery {
    /// The name of the model and the embedding of the question. `None` if the model is unavailable.
    pub embedding: Option<(String, Vector)>,
    pub terms: Vec<Term>,
    /// Limits the search to these documents; empty for all documents.
    pub documents: Vec<DocumentId>,
    pub fusion: Fusion,
}

/// The retrieved passages, best first.
#[derive(Debug)]
pub struct Retrieved {
    /// Of the most relevant chunk. If it is not sufficient, the documents do not contain the answer.
    pub relevance: Relevance,
    pub passages: Vec<Passage>,
    /// The title of each passage's document, in the order of the passages.
    pub titles: Vec<String>,
    /// Whether the search was by words only because the model is unavailable.
    pub is_full_text: bool,
}

impl SearchQuery {
    /// Embeds the question with the model of the workspace's embeddings. A workspace has none before
    /// its first document is complete, whose embeddings are of the current model.
    pub async fn new(
        models: &Models,
        model: Option<&str>,
        question: &str,
        documents: &[DocumentId],
    ) -> Self {
        Self {
            embedding: embed(models, model, question).await,
            terms: rag::terms(question),
            documents: documents.to_vec(),
            fusion: Fusion::default(),
        }
    }
}

/// Retrieves passages that may answer the question, none if they are not relevant enough. `model`
/// is the model of the workspace's embeddings.
pub(super) async fn passages(
    database: &PgPool,
    models: &Models,
    model: Option<&str>,
    question: &str,
    documents: &[DocumentId],
) -> Result<Retrieved, sqlx::Error> {
    let query = SearchQuery::new(models, model, question, documents).await;
    let mut found = search(database, &query).await?;
    if !found.relevance.is_sufficient() {
        found.passages.clear();
    }
    Ok(found)
}

/// Finds the best passages, whether or not they are relevant.
pub async fn search(database: &PgPool, query: &SearchQuery) -> Result<Retrieved, sqlx::Error> {
    let scale = query
        .embedding
        .as_ref()
        .map_or(Scale::of_model(""), |(model, _)| Scale::of_model(model));
    let mut candidates = Vec::new();
    let mut titles_by_document: HashMap<Uuid, String> = HashMap::new();
    let mut relevance = Relevance::default();
    for row in &statement::execute(database, query, scale).await? {
        let Some((candidate, title)) = candidate(row, scale)? else {
            continue;
        };
        titles_by_document
            .entry(candidate.document)
            .or_insert(title);
        if candidate.score.is_some() {
            let of_chunk = Relevance::new(candidate.meaning, candidate.words);
            if of_chunk > relevance {
                relevance = of_chunk;
            }
        }
        candidates.push(candidate);
    }
    let passages = rag::passages(candidates, MAX_PASSAGE_TOKENS);
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
        relevance,
        passages,
        titles,
        is_full_text: query.embedding.is_none(),
    })
}

/// Embeds the question; `None` if the model is unavailable.
async fn embed(models: &Models, model: Option<&str>, question: &str) -> Option<(String, Vector)> {
    let embedder = match model {
        Some(model) => models.embedder_named(model)?,
        None => models.embedder().clone(),
    };
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
                "failed to embed a question, searching by words only"
            );
            None
        }
    }
}

fn candidate(row: &PgRow, scale: Scale) -> Result<Option<(Candidate, String)>, sqlx::Error> {
    let number = |column: &str| row.try_get::<i32, _>(column);
    let (Ok(page), Ok(char_offset)) = (
        u32::try_from(number("page_from")?),
        usize::try_from(number("char_offset")?),
    ) else {
        // The schema forbids negative numbers.
        return Ok(None);
    };
    let cosine: Option<f32> = row.try_get("cosine")?;
    let words: Option<f32> = row.try_get("words")?;
    let candidate = Candidate {
        document: row.try_get("document_id")?,
        ordinal: number("ordinal")?,
        page,
        char_offset,
        text: row.try_get("text")?,
        score: row.try_get("score")?,
        meaning: cosine.map(|cosine| scale.meaning(cosine)),
        words: words.unwrap_or_default(),
    };
    Ok(Some((candidate, row.try_get("title")?)))
}
