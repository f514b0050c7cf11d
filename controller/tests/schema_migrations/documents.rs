//! The constraints and indexes of the document tables, which the first migration creates.

use controller::migrations::{MigrationSet, migrate};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgDatabaseError};

use crate::support::{TestDatabase, execute, limits};

const DOCUMENT: &str = "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking)
    VALUES ('00000000-0000-0000-0000-00000000000a', 'a.pdf', 'A', 'application/pdf', 10, sha256('a'), 3, 1)";
const CHUNKS: &str = "INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count)
    SELECT gen_random_uuid(), '00000000-0000-0000-0000-00000000000a', n, 1, 1, n * 100, 'Passage number ' || n || ' on Ärger', 4
    FROM generate_series(0, 199) n";

async fn with_document() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::create().await;
    let set = MigrationSet::built_in().expect("the set is valid");
    migrate(&database.target, &set, &limits())
        .await
        .expect("the migration succeeds");
    let mut connection = database.connect().await;
    execute(&mut connection, &format!("{DOCUMENT}; {CHUNKS}")).await;
    (database, connection)
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .expect(sql)
}

async fn sqlstate_of(connection: &mut PgConnection, sql: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .expect_err(sql);
    error
        .into_database_error()
        .expect("the error is the server's")
        .downcast::<PgDatabaseError>()
        .code()
        .to_owned()
}

#[tokio::test]
async fn a_duplicate_file_and_a_duplicate_chunk_are_rejected() {
    let (_database, mut connection) = with_document().await;
    let duplicate = DOCUMENT.replace("00000000000a", "00000000000b");
    assert_eq!(sqlstate_of(&mut connection, &duplicate).await, "23505");
    assert_eq!(sqlstate_of(&mut connection, CHUNKS).await, "23505");
}

#[tokio::test]
async fn full_text_search_ignores_case_and_does_not_stem() {
    let (_database, mut connection) = with_document().await;
    for (words, expected) in [("ärger 17", 1), ("NUMBER", 200), ("numb", 0)] {
        let sql = format!(
            "SELECT count(*) FROM chunks WHERE search @@ plainto_tsquery('simple', '{words}')"
        );
        assert_eq!(number(&mut connection, &sql).await, expected, "{words}");
    }
}

#[tokio::test]
async fn vectors_of_two_models_are_stored_together_with_an_index_for_each_model() {
    let (_database, mut connection) = with_document().await;
    execute(
        &mut connection,
        "SELECT setseed(0.5);
         INSERT INTO chunk_embeddings SELECT id, 'small', ARRAY[ordinal, 1, random()]::vector FROM chunks;
         INSERT INTO chunk_embeddings SELECT id, 'large', ARRAY[ordinal, 1, random(), 1, 0]::vector FROM chunks;
         CREATE INDEX small_nearest ON chunk_embeddings
            USING hnsw ((embedding::vector(3)) vector_cosine_ops) WHERE model = 'small';
         ANALYZE; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off",
    )
    .await;
    let nearest = "FROM chunk_embeddings WHERE model = 'small' ORDER BY embedding::vector(3) <=> '[5,1,0]' LIMIT 10";
    let plan: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN SELECT chunk_id {nearest}")))
            .fetch_all(&mut connection)
            .await
            .expect("EXPLAIN succeeds");
    assert!(
        plan.iter().any(|line| line.contains("small_nearest")),
        "{plan:?}"
    );
    let found = number(
        &mut connection,
        &format!("SELECT count(*) FROM (SELECT 1 {nearest}) n"),
    )
    .await;
    assert_eq!(found, 10);
    let other_dimension = "UPDATE chunk_embeddings SET embedding = '[1,2]' WHERE model = 'small'";
    assert_eq!(sqlstate_of(&mut connection, other_dimension).await, "22000");
    let exact =
        "SELECT count(*) FROM (SELECT FROM chunk_embeddings JOIN chunks ON chunks.id = chunk_id
        WHERE document_id = '00000000-0000-0000-0000-00000000000a' AND model = 'large'
        ORDER BY embedding <=> '[5,1,0,1,0]' LIMIT 5) n";
    assert_eq!(number(&mut connection, exact).await, 5);
}

#[tokio::test]
async fn deleting_a_document_deletes_its_chunks_and_vectors() {
    let (_database, mut connection) = with_document().await;
    execute(
        &mut connection,
        "INSERT INTO chunk_embeddings SELECT id, 'small', '[1,2,3]' FROM chunks",
    )
    .await;
    execute(&mut connection, "DELETE FROM documents").await;
    assert_eq!(
        number(&mut connection, "SELECT count(*) FROM chunks").await,
        0
    );
    assert_eq!(
        number(&mut connection, "SELECT count(*) FROM chunk_embeddings").await,
        0
    );
}
