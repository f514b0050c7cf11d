//! The statement that finds and ranks chunks.
//!
//! PostgreSQL's own ranking functions do not know how specific a word is. So the statement counts
//! the chunks that contain each term and weights the terms like BM25 does. `ts_rank` of a single term
//! grows with the number of its occurrences like BM25's frequency, and counts another form of a word
//! half. Lengths do not matter, because all chunks are short.

use rag::Scale;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::SearchQuery;

/// Chunks that the search returns, not counting their neighbors.
const MAX_HITS: i64 = 16;
/// Chunks that are ranked: this many by meaning and this many by words.
const MAX_CANDIDATES: i64 = 48;
/// Maximum number of chunks with a term that the search reads for it. A more common term ranks chunks
/// that other terms found, but does not find any.
const MAX_MATCHES: i64 = 2_000;
/// Chunks that are counted to tell how specific a term is.
const MAX_COUNTED: i64 = 20_000;
/// Embeddings that a search in the index considers; at least [`MAX_CANDIDATES`].
const INDEX_EFFORT: u32 = 120;
/// pgvector's maximum for an index of half-precision vectors.
pub const MAX_INDEXED_DIMENSIONS: usize = 4_000;
const STATEMENT_TIMEOUT_MS: u32 = 15_000;
/// What `ts_rank` returns for one occurrence of one word. Each further occurrence counts less.
const RANK_OF_ONE: f64 = 0.1 / 1.644_934_066_85;
/// Maximum of what the occurrences of a term count, compared with one.
const MAX_FREQUENCY: f64 = 1.6;

const CHUNK_COLUMNS: &str = "c.document_id, c.ordinal, c.page_from, c.char_offset, c.text, d.title";

/// Returns the best chunks with their similarities and scores, and the chunks next to them without.
pub(super) async fn execute(
    database: &PgPool,
    query: &SearchQuery,
    scale: Scale,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let (model, vector) = query.embedding.clone().unzip();
    let dimensions = vector.as_ref().map(|vector| vector.as_slice().len());
    let mut transaction = database.begin().await?;
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, true), set_config('hnsw.ef_search', $2, true),
                set_config('jit', 'off', true)",
    )
    .bind(STATEMENT_TIMEOUT_MS.to_string())
    .bind(INDEX_EFFORT.to_string())
    .execute(&mut *transaction)
    .await?;
    let (exact, forms): (Vec<&str>, Vec<&str>) = query
        .terms
        .iter()
        .map(|term| (&*term.exact, &*term.forms))
        .unzip();
    let documents: Vec<Uuid> = query.documents.iter().map(|document| document.0).collect();
    let text = text(!documents.is_empty(), dimensions);
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(vector)
        .bind(model)
        .bind(documents)
        .bind(exact)
        .bind(forms)
        .bind(RANK_OF_ONE)
        .bind(MAX_FREQUENCY)
        .bind(MAX_MATCHES)
        .bind(MAX_COUNTED)
        .bind(MAX_CANDIDATES)
        .bind(f64::from(scale.unrelated))
        .bind(f64::from(scale.answer))
        .bind(f64::from(query.fusion.meaning))
        .bind(f64::from(query.fusion.words))
        .bind(MAX_HITS)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    Ok(rows)
}

/// The text of the statement, which refers to its parameters in the order above.
fn text(in_documents: bool, dimensions: Option<usize>) -> String {
    let (chunk_filter, embedding_filter) = if in_documents {
        (
            "c.document_id = ANY($3)",
            "e.chunk_id IN (SELECT id FROM chunks WHERE document_id = ANY($3))",
        )
    } else {
        ("cardinality($3::uuid[]) = 0", "cardinality($3::uuid[]) = 0")
    };
    // The expression of the index, if there is one (`ingestion::vector_index`). A search in some
    // documents compares the embeddings of their chunks instead, because an index would first find
    // those of others.
    let distance = match dimensions {
        Some(dimensions) if !in_documents && dimensions <= MAX_INDEXED_DIMENSIONS => {
            format!("e.embedding::halfvec({dimensions}) <=> $1::vector::halfvec({dimensions})")
        }
        _ => "e.embedding <=> $1::vector".to_owned(),
    };
    // Of the term `a` in the chunk `c`. A phrase or a number either occurs or not.
    let frequency = "CASE WHEN a.is_word THEN least(ts_rank(c.search, a.query) / $6::float8, $7::float8) ELSE (c.search @@ a.query)::int END";
    format!(
        "WITH asked AS MATERIALIZED (
             SELECT number, CASE WHEN forms = '' THEN exact ELSE exact || forms::tsquery END AS query,
                    numnode(exact) = 1 AND (forms = '' OR forms LIKE '%:*') AS is_word
             FROM (SELECT number, phraseto_tsquery('simple', exact) AS exact, forms
                   FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS term (exact, forms, number)) term
             WHERE numnode(exact) > 0),
         matches AS MATERIALIZED (
             SELECT a.number, f.id, f.frequency FROM asked a CROSS JOIN LATERAL (
                 SELECT c.id, {frequency} AS frequency FROM chunks c
                 WHERE c.search @@ a.query AND {chunk_filter} LIMIT $8) f),
         size AS MATERIALIZED (
             SELECT count(*) AS chunks FROM (SELECT FROM chunks c WHERE {chunk_filter} LIMIT $9) c),
         weighted AS MATERIALIZED (
             SELECT a.*, m.found BETWEEN 1 AND $8 - 1 AS is_selective,
                    ln(1 + (greatest(s.chunks, m.found) - greatest(m.found, 1) + 0.5::float8) / (greatest(m.found, 1) + 0.5::float8)) AS weight
             FROM asked a CROSS JOIN size s CROSS JOIN LATERAL (
                 SELECT count(*) AS found FROM matches WHERE matches.number = a.number) m),
         by_words AS (
             SELECT m.id FROM matches m JOIN weighted w ON w.number = m.number
             WHERE w.is_selective OR NOT EXISTS (SELECT FROM weighted WHERE is_selective)
             GROUP BY m.id ORDER BY sum(w.weight * m.frequency) DESC, m.id LIMIT $10),
         by_meaning AS (
             SELECT e.chunk_id AS id FROM chunk_embeddings e
             WHERE e.model = $2 AND {embedding_filter} ORDER BY {distance} LIMIT $10),
         compared AS (
             SELECT c.id, c.document_id, c.ordinal, (1 - (e.embedding <=> $1::vector))::real AS cosine,
                    coalesce((SELECT sum(a.weight * {frequency}) / nullif(sum(a.weight), 0) FROM weighted a), 0)::real AS words
             FROM (SELECT id FROM by_words UNION SELECT id FROM by_meaning) candidate
             JOIN chunks c ON c.id = candidate.id
             LEFT JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.model = $2),
         hits AS MATERIALIZED (
             SELECT s.*, ($13::float8 * coalesce(least(greatest((s.cosine - $11::float8) / ($12::float8 - $11::float8), 0), 1), 0)
                          + $14::float8 * s.words)::real AS score
             FROM compared s ORDER BY score DESC, s.id LIMIT $15)
         SELECT {CHUNK_COLUMNS}, h.cosine, h.words, h.score
         FROM hits h JOIN chunks c ON c.id = h.id JOIN documents d ON d.id = c.document_id
         UNION ALL
         SELECT {CHUNK_COLUMNS}, NULL, NULL, NULL FROM (
             SELECT DISTINCT h.document_id, h.ordinal + step AS ordinal
             FROM hits h CROSS JOIN (VALUES (-1), (1)) AS steps (step)) n
         JOIN chunks c ON c.document_id = n.document_id AND c.ordinal = n.ordinal JOIN documents d ON d.id = c.document_id"
    )
}
