//! The index of the embeddings of a large workspace.

use app::ask::retrieve::{self, SearchQuery};
use app::ingestion::BuildVectorIndex;
use app::ingestion::vector_index::MIN_INDEXED_CHUNKS;
use app::jobs::{Attempt, Job as _, JobHandler as _};
use pgvector::Vector;
use rag::Fusion;
use test_support::wait::until_true;

use crate::support::{World, pdf};

/// Inserts chunks with embeddings of the model `first`, which has eight dimensions.
async fn insert_chunks(world: &World, count: i64) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking)
         VALUES (gen_random_uuid(), 'large.pdf', 'Large', 'application/pdf', 1, sha256('large'), 1, 1);
         INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count)
         SELECT gen_random_uuid(), d.id, number, 1, 1, number * 100, 'Chunk ' || number, 2
         FROM documents d, generate_series(1, {count}) AS number WHERE d.title = 'Large';
         INSERT INTO chunk_embeddings (chunk_id, model, embedding)
         SELECT c.id, 'first', (SELECT array_agg(hashint4(c.ordinal * 8 + place) / 2147483648.0) FROM generate_series(1, 8) AS place)::vector
         FROM chunks c JOIN documents d ON d.id = c.document_id WHERE d.title = 'Large';
         ANALYZE"
    )))
    .execute(&world.tenant)
    .await
    .unwrap();
}

async fn indexes(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%' ORDER BY indexname",
    )
    .fetch_all(&world.tenant)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_workspace_gets_an_index_of_its_serving_model_that_searches_use() {
    let world = World::start().await;
    let job = BuildVectorIndex {
        workspace: world.workspace.id.clone(),
    };
    let attempt = Attempt { number: 1 };
    let document = world.upload("a.pdf", &pdf(2, "index")).await;
    world.ingest(document).await.unwrap();
    assert!(!world.jobs().await.contains(&job.key()), "few chunks");
    job.clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap();
    assert_eq!(indexes(&world).await, Vec::<String>::new());

    insert_chunks(&world, MIN_INDEXED_CHUNKS).await;
    let large = i32::try_from(MIN_INDEXED_CHUNKS).unwrap();
    sqlx::query("UPDATE documents SET chunk_count = $1")
        .bind(large)
        .execute(&world.database)
        .await
        .unwrap();
    let second = world.upload("b.pdf", &pdf(1, "second")).await;
    world.ingest(second).await.unwrap();
    assert!(world.jobs().await.contains(&job.key()));

    let query = SearchQuery {
        embedding: Some(("first".to_owned(), Vector::from(vec![1.0; 8]))),
        terms: Vec::new(),
        documents: Vec::new(),
        fusion: Fusion::MEANING_ONLY,
    };
    let found = async || -> Vec<String> {
        let found = retrieve::search(&world.tenant, &query).await.unwrap();
        found
            .passages
            .into_iter()
            .map(|passage| passage.text)
            .collect()
    };
    let exact = found().await;
    for _ in 0..2 {
        job.clone()
            .run(world.context.clone(), attempt)
            .await
            .unwrap();
        let built = indexes(&world).await;
        assert!(
            built.len() == 1 && built[0].contains("halfvec(8)"),
            "{built:?}"
        );
    }
    let indexed = found().await;
    let common = indexed
        .iter()
        .filter(|passage| exact.contains(passage))
        .count();
    assert!(common * 10 >= exact.len() * 9, "{common} of {exact:?}");
    until_true("the index to be used", async || {
        found().await;
        let scans: i64 = sqlx::query_scalar(
            "SELECT sum(idx_scan)::bigint FROM pg_stat_user_indexes WHERE indexrelname LIKE '%hnsw%'",
        )
        .fetch_one(&world.tenant)
        .await
        .unwrap();
        scans > 0
    })
    .await;

    // Another model serves now.
    sqlx::query("UPDATE chunk_embeddings SET model = 'it''s \"second\"'")
        .execute(&world.tenant)
        .await
        .unwrap();
    sqlx::query("UPDATE workspaces SET embedding_model = 'it''s \"second\"'")
        .execute(&world.database)
        .await
        .unwrap();
    job.run(world.context.clone(), attempt).await.unwrap();
    let built = indexes(&world).await;
    assert!(built.len() == 1 && built[0].contains("second"), "{built:?}");
    world.stop().await;
}
