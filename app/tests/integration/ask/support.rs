//! A workspace with documents, and processes that answer questions about them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use app::ask::threads::{self, AskedQuestion, Message, MessageState, QuestionTarget};
use app::ask::{AnswerService, AnswerUpdate, AskError};
use app::domain::Workspace;
use app::ids::{DocumentId, UserId};
use app::telemetry::Metrics;
use app::tenants::{PoolLimits, Pools, TenantDatabase, Tenants};
use crds::{Connection, ConnectionDetails, SSL_MODE};
use futures::{Stream, StreamExt as _};
use llm::{EmbeddingModel, EndpointConfig, Models, ModelsConfig, Quota};
use neon_client::model::{CreateProject, CreatedProject, ProjectEnvelope};
use neon_emulator::Emulator;
use openai_stub::Stub;
use rag::{ChunkConfig, Page};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::types::Json;
use test_support::wait::until_true;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api_server::Cluster;
use crate::emulator::Emulated;
use crate::fixture::{Fixture, TIMEOUT};

pub(crate) const EMBEDDINGS: &str = "text-embedding-3-small";
pub(crate) const ANSWERS: &str = "gpt-4o-mini";
const DIMENSIONS: u32 = 1_536;
const MAX_ANSWER_TOKENS: NonZeroU32 = NonZeroU32::new(2_000).unwrap();

/// A workspace with its database, and the model's endpoint.
pub(crate) struct ChatFixture {
    pub(crate) workspaces: Fixture,
    pub(crate) stub: Stub,
    pub(crate) workspace: Workspace,
    pub(crate) database: TenantDatabase,
    pub(crate) user: UserId,
    pub(crate) emulator: Emulated,
}

/// A process that answers questions.
pub(crate) struct Process {
    pub(crate) ask: AnswerService,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl ChatFixture {
    pub(crate) async fn start() -> Self {
        Self::with(openai_stub::Config::default()).await
    }

    /// With a delay between the pieces of an answer.
    pub(crate) async fn slow(piece_delay: Duration) -> Self {
        Self::with(openai_stub::Config {
            piece_delay,
            ..openai_stub::Config::default()
        })
        .await
    }

    async fn with(config: openai_stub::Config) -> Self {
        let emulator = Emulated::start().await;
        let workspaces = Fixture::with(PoolLimits::default()).await;
        let user = workspaces.user("Ada").await;
        let mut workspace = workspaces.workspace(user).await;
        provide(
            &workspaces.cluster,
            &workspaces.tenants,
            &emulator,
            &workspace,
        )
        .await;
        workspace.embedding_model = Some(EMBEDDINGS.to_owned());
        let database = workspaces.pools.get(&workspace).await.expect("a database");
        migrate(&database).await;
        Self {
            workspaces,
            stub: Stub::start(config).await.expect("the endpoint starts"),
            workspace,
            database,
            user,
            emulator,
        }
    }

    /// A process with a chat model.
    pub(crate) fn process(&self) -> Process {
        self.process_with(Some(ANSWERS))
    }

    pub(crate) fn process_with(&self, answers: Option<&str>) -> Process {
        self.process_over(self.workspaces.pools.clone(), answers)
    }

    fn process_over(&self, pools: Pools, answers: Option<&str>) -> Process {
        let models = Models::new(ModelsConfig {
            endpoint: Some(EndpointConfig {
                base_url: self.stub.base_url().parse().unwrap(),
                api_key: None,
                embeddings: Some(EmbeddingModel::new(EMBEDDINGS, DIMENSIONS).unwrap()),
                answers: answers.map(str::to_owned),
                quota: Quota {
                    attempts: 2,
                    backoff: Duration::from_millis(5),
                    attempt_limit: Duration::from_secs(10),
                    ..Quota::default()
                },
            }),
            local: None,
        })
        .unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        Process {
            ask: AnswerService::start(
                pools,
                Arc::new(models),
                Arc::clone(&metrics),
                MAX_ANSWER_TOKENS,
                tasks.clone(),
                stop.clone(),
            ),
            metrics,
            tasks,
            stop,
        }
    }

    pub(crate) async fn document(&self, title: &str, pages: &[&str]) -> DocumentId {
        document(&self.database, title, pages).await
    }

    /// Stores a question without starting its answer.
    pub(crate) async fn ask(
        &self,
        question: &str,
        target: QuestionTarget<'_>,
    ) -> Result<AskedQuestion, AskError> {
        let question = question.parse().unwrap();
        threads::ask(&self.database, self.user, &question, target, Some(ANSWERS)).await
    }

    /// Asks about all documents in a new conversation, and follows the answer to its end.
    pub(crate) async fn answered(&self, process: &Process, question: &str) -> Message {
        let asked = self
            .ask(question, QuestionTarget::NewThread(&[]))
            .await
            .unwrap();
        self.read(process, &asked).await.1
    }

    /// Follows the answer to its end. Returns every text that was streamed, and the final answer.
    pub(crate) async fn read(
        &self,
        process: &Process,
        asked: &AskedQuestion,
    ) -> (Vec<String>, Message) {
        let mut following = Box::pin(self.follow(process, asked));
        let mut shown = Vec::new();
        loop {
            match timeout(TIMEOUT, following.next())
                .await
                .expect("an update in time")
            {
                Some(AnswerUpdate::Text(message)) => shown.push(message.text),
                Some(AnswerUpdate::Progress(_)) => {}
                Some(AnswerUpdate::Ended(message)) => {
                    assert!(following.next().await.is_none());
                    return (shown, *message);
                }
                None => panic!("the stream ended without the final update"),
            }
        }
    }

    pub(crate) fn follow(
        &self,
        process: &Process,
        asked: &AskedQuestion,
    ) -> impl Stream<Item = AnswerUpdate> + Send + use<> {
        process
            .ask
            .follow(&self.workspace, asked.thread, asked.answer.id)
    }

    /// The stored answer.
    pub(crate) async fn row(&self, asked: &AskedQuestion) -> Message {
        threads::message(&self.database, asked.thread, asked.answer.id)
            .await
            .unwrap()
            .expect("an answer")
    }

    pub(crate) async fn until_ended(&self, asked: &AskedQuestion) -> Message {
        until_true("the answer's end", || async {
            self.row(asked).await.state != MessageState::Pending
        })
        .await;
        self.row(asked).await
    }

    /// Waits for the first text of the answer.
    pub(crate) async fn until_text(
        &self,
        following: &mut (impl Stream<Item = AnswerUpdate> + Unpin),
    ) -> String {
        loop {
            match timeout(TIMEOUT, following.next())
                .await
                .expect("an update in time")
            {
                Some(AnswerUpdate::Text(message)) => return message.text,
                Some(AnswerUpdate::Progress(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Applies the schema, as the controller would.
pub(crate) async fn migrate(database: &TenantDatabase) {
    for migration in [
        include_str!("../../../../tenant-migrations/0001_documents.sql"),
        include_str!("../../../../tenant-migrations/0002_conversations.sql"),
        include_str!("../../../../tenant-migrations/0003_feedback.sql"),
        include_str!("../../../../tenant-migrations/0004_conversations.sql"),
    ] {
        sqlx::raw_sql(migration)
            .execute(database.pool())
            .await
            .expect("the schema");
    }
}

/// Reverts the schema to the oldest version with which the app works.
pub(crate) async fn revert_to_oldest_schema(database: &TenantDatabase) {
    sqlx::raw_sql(
        "DROP TABLE message_feedback;
         ALTER TABLE messages DROP COLUMN stopped_by;
         ALTER TABLE threads DROP COLUMN is_shared, DROP COLUMN deleted_at, DROP COLUMN pinned_by, DROP COLUMN documents",
    )
    .execute(database.pool())
    .await
    .expect("the schema");
}

/// Stores a document, as ingestion would.
pub(crate) async fn document(database: &TenantDatabase, title: &str, pages: &[&str]) -> DocumentId {
    let id = DocumentId::random();
    sqlx::query(
        "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking)
         VALUES ($1, $2, $2, 'application/pdf', 1, sha256(convert_to($3, 'UTF8')), $4, $5)",
    )
    .bind(id.0)
    .bind(title)
    .bind(id.to_string())
    .bind(i32::try_from(pages.len()).unwrap())
    .bind(rag::CHUNKING_VERSION)
    .execute(database.pool())
    .await
    .unwrap();
    let pages: Vec<Page<'_>> = (1..)
        .zip(pages)
        .map(|(number, text)| Page {
            number,
            text,
            words: &[],
            tables: &[],
        })
        .collect();
    for chunk in rag::chunk(&pages, &ChunkConfig::default()) {
        let chunk_id = rag::chunk_id(id.0, chunk.ordinal);
        sqlx::query(
            "INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count, boxes, content_sha256)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9)",
        )
        .bind(chunk_id)
        .bind(id.0)
        .bind(chunk.ordinal)
        .bind(i32::try_from(chunk.page_from).unwrap())
        .bind(i32::try_from(chunk.char_offset).unwrap())
        .bind(&chunk.text)
        .bind(i32::try_from(chunk.token_count).unwrap())
        .bind(Json(&chunk.boxes))
        .bind(chunk.content_sha256.as_slice())
        .execute(database.pool())
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO chunk_embeddings (chunk_id, model, embedding) VALUES ($1, $2, $3)",
        )
        .bind(chunk_id)
        .bind(EMBEDDINGS)
        .bind(pgvector::Vector::from(openai_stub::vector(
            &chunk.text,
            DIMENSIONS as usize,
        )))
        .execute(database.pool())
        .await
        .unwrap();
    }
    id
}

/// Creates a database at the emulator, as the controller would.
pub(crate) async fn provide(
    cluster: &Cluster,
    tenants: &Tenants,
    emulator: &Emulator,
    workspace: &Workspace,
) {
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
    let created: CreatedProject = http
        .post(format!("{}/projects", emulator.api_url()))
        .bearer_auth(emulator.api_key())
        .json(&ProjectEnvelope {
            project: CreateProject::named(workspace.id.as_str()),
        })
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let endpoint = &created.endpoints[0].id;
    let details = ConnectionDetails {
        connection: Connection {
            host: "127.0.0.1".to_owned(),
            pooled_host: "127.0.0.1".to_owned(),
            port: i32::from(emulator.data_addr().port()),
            database: "neondb".to_owned(),
            role: "neondb_owner".to_owned(),
            ssl_mode: SSL_MODE.to_owned(),
            options: Some(format!("endpoint={endpoint}")),
        },
        pooled_options: Some(format!("endpoint={endpoint}-pooler")),
        password: created.connection_uris[0]
            .connection_parameters
            .password
            .expose_secret()
            .to_owned(),
        ca_crt: Some(emulator.ca_pem().to_owned()),
    };
    let secret = format!("ws-{}-connection", workspace.id);
    cluster.put(
        "secrets",
        &secret,
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": details.to_data() }),
    );
    cluster.make_available(&format!("ws-{}", workspace.id), &secret, 2);
    until_true("the database to become available", || async {
        tenants.available(workspace).is_ok()
    })
    .await;
}
