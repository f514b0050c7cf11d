//! Large workspaces: how fast a search is, and what the index of the embeddings misses.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use app::ask::retrieve::{self, SearchQuery};
use app::ingestion::vector_index;
use llm::{LOCAL_MODEL_NAME, Purpose};
use pgvector::Vector;
use rag::Fusion;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::index::Model;
use crate::questions::Question;

/// Numbers of chunks.
const SIZES: [usize; 2] = [5_000, 50_000];
/// Rows inserted by one statement.
const ROWS_PER_INSERT: usize = 1_000;
/// Recall is measured on this many passages.
const PASSAGES: usize = 8;
/// Length of the random vector that is added to a copied one of length 1.
const NOISE: f32 = 0.5;
/// So that every run copies the same.
const SEED: u64 = 7;

/// Adds copies of the chunks with changed embeddings up to each size, and measures searches. Returns
/// a section of the documentation.
pub(crate) async fn measure(
    database: &PgPool,
    model: &mut Model,
    questions: &[Question],
) -> Result<String> {
    let mut text = "\n## Large workspaces\n\n\
        Chunks are added whose texts are those of the documents and whose embeddings are changed at random. The times are those of the search \
        of all questions, in milliseconds, without embedding the question and in a debug build. The index is HNSW over half-precision vectors; its recall is the share \
        of the first eight passages by exact cosine similarity that a search with the index returns as well.\n\n\
        | chunks | exact p50 | exact p95 | index p50 | index p95 | recall@8 | building the index |\n|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let source = Source::load(database).await?;
    let mut vectors = Vec::new();
    for question in questions {
        let vector = model.embed(&[&question.text], Purpose::Question).await?;
        vectors.push(vector.into_iter().next().context("a vector is missing")?);
    }
    let searches = Searches { questions, vectors };
    let mut random = StdRng::seed_from_u64(SEED);
    let mut count = source.rows.len();
    for size in SIZES {
        drop_index(database).await?;
        source
            .copy(database, size.saturating_sub(count), &mut random)
            .await?;
        count = count.max(size);
        let exact = searches.run(database, Fusion::MEANING_ONLY).await?;
        let exact_times = searches.run(database, Fusion::TUNED).await?.times;
        let built = vector_index::build(database, LOCAL_MODEL_NAME)
            .await?
            .context("no index was built")?;
        let indexed = searches.run(database, Fusion::MEANING_ONLY).await?;
        let indexed_times = searches.run(database, Fusion::TUNED).await?.times;
        let _ = writeln!(
            text,
            "| {count} | {} | {} | {} | {} | {:.3} | {:.0} s |",
            percentile(&exact_times, 50),
            percentile(&exact_times, 95),
            percentile(&indexed_times, 50),
            percentile(&indexed_times, 95),
            exact.recall(&indexed),
            built.as_secs_f64(),
        );
    }
    Ok(text)
}

async fn drop_index(database: &PgPool) -> Result<()> {
    let indexes: Vec<String> = sqlx::query_scalar(
        "SELECT format('DROP INDEX %I', indexname) FROM pg_indexes
         WHERE tablename = 'chunk_embeddings' AND indexdef LIKE '%hnsw%'",
    )
    .fetch_all(database)
    .await?;
    for statement in indexes {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(database)
            .await?;
    }
    Ok(())
}

/// The chunks to copy.
struct Source {
    rows: Vec<(String, Vec<f32>)>,
}

impl Source {
    async fn load(database: &PgPool) -> Result<Self> {
        let rows = sqlx::query(
            "SELECT c.text, e.embedding FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id
             ORDER BY c.id",
        )
        .fetch_all(database)
        .await?;
        let rows = rows
            .iter()
            .map(|row| {
                Ok((
                    row.try_get("text")?,
                    row.try_get::<Vector, _>("embedding")?.into(),
                ))
            })
            .collect::<sqlx::Result<_>>()?;
        Ok(Self { rows })
    }

    async fn copy(&self, database: &PgPool, count: usize, random: &mut StdRng) -> Result<()> {
        let document = Uuid::new_v4();
        sqlx::query(
            "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking)
             VALUES ($1, 'copies.pdf', 'copies.pdf', 'application/pdf', 1, sha256($2), 1, 1)",
        )
        .bind(document)
        .bind(document.as_bytes().as_slice())
        .execute(database)
        .await?;
        let ordinals: Vec<i32> = (0..i32::try_from(count)?).collect();
        for batch in ordinals.chunks(ROWS_PER_INSERT) {
            let ids: Vec<Uuid> = batch.iter().map(|_| Uuid::new_v4()).collect();
            let sources = batch.iter().map(|ordinal| {
                let at = usize::try_from(*ordinal).unwrap_or(0) % self.rows.len();
                &self.rows[at]
            });
            let (texts, vectors): (Vec<&str>, Vec<Vector>) = sources
                .map(|(text, vector)| (text.as_str(), Vector::from(changed(vector, random))))
                .unzip();
            sqlx::query(
                "INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count)
                 SELECT id, $1, ordinal, 1, 1, ordinal * 1000, text, 1 FROM unnest($2::uuid[], $3::int[], $4::text[]) AS row (id, ordinal, text)",
            )
            .bind(document)
            .bind(&ids)
            .bind(batch)
            .bind(&texts)
            .execute(database)
            .await?;
            sqlx::query(
                "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
                 SELECT id, $2, embedding FROM unnest($1::uuid[], $3::vector[]) AS row (id, embedding)",
            )
            .bind(&ids)
            .bind(LOCAL_MODEL_NAME)
            .bind(&vectors)
            .execute(database)
            .await?;
        }
        sqlx::query("ANALYZE").execute(database).await?;
        Ok(())
    }
}

fn changed(vector: &[f32], random: &mut StdRng) -> Vec<f32> {
    let noise: Vec<f32> = vector
        .iter()
        .map(|_| random.random_range(-1.0_f32..1.0))
        .collect();
    let length = |numbers: &[f32]| {
        numbers
            .iter()
            .map(|number| number * number)
            .sum::<f32>()
            .sqrt()
    };
    let scale = NOISE / length(&noise);
    let sum: Vec<f32> = vector
        .iter()
        .zip(&noise)
        .map(|(number, noise)| number + noise * scale)
        .collect();
    let length = length(&sum);
    sum.into_iter().map(|number| number / length).collect()
}

struct Searches<'a> {
    questions: &'a [Question],
    vectors: Vec<Vec<f32>>,
}

struct Results {
    /// The first passages of each question, by their texts.
    passages: Vec<HashSet<String>>,
    times: Vec<Duration>,
}

impl Searches<'_> {
    async fn run(&self, database: &PgPool, fusion: Fusion) -> Result<Results> {
        let mut results = Results {
            passages: Vec::new(),
            times: Vec::new(),
        };
        for (question, vector) in self.questions.iter().zip(&self.vectors) {
            let terms = if fusion == Fusion::MEANING_ONLY {
                Vec::new()
            } else {
                rag::terms(&question.text)
            };
            let query = SearchQuery {
                embedding: Some((LOCAL_MODEL_NAME.to_owned(), Vector::from(vector.clone()))),
                terms,
                documents: Vec::new(),
                fusion,
            };
            let started = Instant::now();
            let found = retrieve::search(database, &query).await?;
            results.times.push(started.elapsed());
            let passages = found.passages.into_iter().take(PASSAGES);
            results
                .passages
                .push(passages.map(|passage| passage.text).collect());
        }
        results.times.sort();
        Ok(results)
    }
}

impl Results {
    fn recall(&self, other: &Self) -> f64 {
        let (mut found, mut all) = (0_u32, 0_u32);
        for (expected, actual) in self.passages.iter().zip(&other.passages) {
            all += u32::try_from(expected.len()).unwrap_or(0);
            found += u32::try_from(expected.intersection(actual).count()).unwrap_or(0);
        }
        f64::from(found) / f64::from(all.max(1))
    }
}

/// In milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> String {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let milliseconds = sorted
        .get(at)
        .map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
    format!("{milliseconds:.1}")
}
