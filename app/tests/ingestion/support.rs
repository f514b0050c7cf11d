//! A world for one test: the main database, one tenant's database, a bucket, and a model that counts what it is asked.

mod servers;
mod stand_ins;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use app::config;
use app::documents::{self, Begun, Document, FileName, NewUpload, State};
use app::ids::{DocumentId, UserId};
use app::ingestion::queue::{self, Job, Setback, Turn};
use app::ingestion::{Ingest, Workshop};
use app::objects::Objects;
use app::workspaces::Workspace;
use local_stack::postgres::Postgres;
use local_stack::s3::S3;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tempfile::TempDir;

use servers::{database, database_of_tenant, extractor, make_bucket, objects_config, people};
pub(crate) use stand_ins::{CountingModels, OneTenant};

pub(crate) const BUCKET: &str = "files";
/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

pub(crate) struct World {
    pub(crate) database: PgPool,
    pub(crate) tenant: PgPool,
    pub(crate) objects: Objects,
    pub s3: S3,
    pub(crate) models: Arc<CountingModels>,
    pub(crate) tenants: Arc<OneTenant>,
    pub(crate) workshop: Workshop,
    pub(crate) workspace: Workspace,
    pub(crate) user: UserId,
    pub(crate) plan: config::Plan,
    postgres: Option<Postgres>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new().unwrap();
        // PostgreSQL runs as another user than root, and has to get to its folder.
        #[cfg(unix)]
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let postgres = Postgres::start(folder.path()).await.unwrap();
        let s3 = S3::start(folder.path()).await.unwrap();
        make_bucket(&s3.client()).await;
        let database = database(postgres.uri(), "main", "migrations").await;
        queue::migrate(&database).await.unwrap();
        let tenant = database_of_tenant(postgres.uri(), "tenant").await;
        let objects = Objects::with_keys(&objects_config(&s3), s3.keys().0, s3.keys().1)
            .await
            .unwrap();
        let models = Arc::new(CountingModels::default());
        let tenants = Arc::new(OneTenant {
            pool: tenant.clone(),
            away: AtomicBool::new(false),
        });
        let workshop = Workshop::new(
            database.clone(),
            objects.clone(),
            tenants.clone(),
            extractor(),
            models.clone(),
        );
        let (user, workspace) = people(&database).await;
        Self {
            database,
            tenant,
            objects,
            s3,
            models,
            tenants,
            workshop,
            workspace,
            user,
            plan: config::Plan {
                upload_bytes_max: 25_000_000,
                documents_max: 20,
                workspaces_per_user_max: 5,
                members_max: 5,
            },
            postgres: Some(postgres),
            _folder: folder,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.database.close().await;
        self.tenant.close().await;
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
        self.s3.stop_server().await;
    }

    pub(crate) async fn begin(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<Begun, documents::BeginError> {
        documents::begin(
            &self.database,
            &self.objects,
            &self.plan,
            &self.workspace,
            self.user,
            &NewUpload {
                file_name: FileName::from_upload(name),
                byte_count: bytes.len() as u64,
                media_type: "application/pdf".to_owned(),
                sha256: sha256(bytes),
            },
        )
        .await
    }

    /// Brings a file as a browser does, up to the queue.
    pub(crate) async fn bring(&self, name: &str, bytes: &[u8]) -> DocumentId {
        let begun = self.begin(name, bytes).await.unwrap();
        let status = put(&begun, bytes.to_vec()).await;
        assert_eq!(status, 200);
        let completed = documents::complete(
            &self.database,
            &self.objects,
            &self.workspace,
            begun.document,
        )
        .await
        .unwrap();
        assert_eq!(completed, documents::Completed::Accepted);
        begun.document
    }

    pub(crate) async fn row(&self, document: DocumentId) -> Option<Document> {
        documents::find(&self.database, &self.workspace.id, document)
            .await
            .unwrap()
    }

    pub(crate) async fn state(&self, document: DocumentId) -> State {
        self.row(document).await.expect("the row is there").state
    }

    /// The document's job, as the queue would begin it.
    pub(crate) async fn ingest(&self, document: DocumentId) -> Result<(), Setback> {
        self.ingest_with(&self.workshop, document).await
    }

    pub(crate) async fn ingest_with(
        &self,
        workshop: &Workshop,
        document: DocumentId,
    ) -> Result<(), Setback> {
        let job = self.job(document).await;
        job.run(workshop.clone(), Turn { attempt: 1 }).await
    }

    pub(crate) async fn job(&self, document: DocumentId) -> Ingest {
        Ingest {
            workspace: self.workspace.id.clone(),
            document,
            reading: self.row(document).await.expect("the row is there").reading,
            ahead: 0,
        }
    }

    /// Everything that the tenant's database holds of documents, in an order of its own.
    pub(crate) async fn contents(&self) -> Vec<String> {
        let mut all = Vec::new();
        for sql in [
            "SELECT 'document ' || (to_jsonb(t) - 'updated_at')::text FROM documents t ORDER BY 1",
            "SELECT 'chunk ' || (to_jsonb(t) - 'search')::text FROM chunks t ORDER BY 1",
            "SELECT 'vector ' || chunk_id || model || embedding::text FROM chunk_embeddings ORDER BY 1",
            "SELECT 'draft ' || document_id FROM embedding_drafts ORDER BY 1",
        ] {
            let rows: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(&self.tenant)
                .await
                .unwrap();
            all.extend(rows);
        }
        all
    }

    /// Empties the tenant's database, so that nothing of the last time helps.
    pub(crate) async fn forget(&self) {
        for sql in ["DELETE FROM documents", "DELETE FROM embedding_drafts"] {
            sqlx::query(sql).execute(&self.tenant).await.unwrap();
        }
    }

    /// What still waits or runs in the queue, by key.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT key FROM graphile_worker._private_jobs WHERE key IS NOT NULL ORDER BY key",
        )
        .fetch_all(&self.database)
        .await
        .unwrap()
    }
}

pub(crate) async fn put(begun: &Begun, bytes: Vec<u8>) -> u16 {
    let mut request = reqwest::Client::new().put(&begun.put.url).body(bytes);
    for (name, value) in &begun.put.headers {
        request = request.header(name, value);
    }
    request.send().await.unwrap().status().as_u16()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Waits for what `look` finds.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// A PDF of this many pages, each of some hundred words.
pub(crate) fn pdf(pages: usize, subject: &str) -> Vec<u8> {
    let texts: Vec<String> = (1..=pages)
        .map(|page| {
            (1..=30)
                .map(|line| {
                    format!(
                        "{subject} page {page} line {line} tells of the harvest of number {}.",
                        page * 100 + line
                    )
                })
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    local_stack::sample_pdf(&texts)
}
