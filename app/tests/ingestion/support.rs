//! The world of one test: the main database, a tenant's database, a bucket, and a model that counts
//! its calls.

mod fakes;
mod servers;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use app::config;
use app::documents::Ingest;
use app::documents::{self, Document, DocumentStatus, FileName, NewUpload, PendingUpload};
use app::domain::Workspace;
use app::ids::{DocumentId, UserId};
use app::ingestion::IngestContext;
use app::jobs::{Attempt, JobError, JobHandler as _};
use app::objects::ObjectStore;
use local_stack::postgres::Postgres;
use local_stack::s3::S3;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tempfile::TempDir;

pub(crate) use fakes::{CountingModels, FakeTenants};
use servers::{
    create_user_and_workspace, database_of_tenant, extractor, make_bucket, objects_config,
};
pub(crate) use servers::{database, folder};

pub(crate) const BUCKET: &str = "files";
/// The timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) database: PgPool,
    pub(crate) tenant: PgPool,
    pub(crate) objects: ObjectStore,
    pub s3: S3,
    pub(crate) models: Arc<CountingModels>,
    pub(crate) tenants: Arc<FakeTenants>,
    pub(crate) context: IngestContext,
    pub(crate) workspace: Workspace,
    pub(crate) user: UserId,
    pub(crate) plan: config::WorkspaceQuota,
    postgres: Option<Postgres>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = folder();
        let postgres = Postgres::start(folder.path()).await.unwrap();
        let s3 = S3::start(folder.path()).await.unwrap();
        make_bucket(&s3.client()).await;
        let database = database(postgres.uri(), "main", "migrations").await;
        let tenant = database_of_tenant(postgres.uri(), "tenant").await;
        let objects = ObjectStore::with_credentials(&objects_config(&s3), s3.keys().0, s3.keys().1)
            .await
            .unwrap();
        let models = Arc::new(CountingModels::default());
        let tenants = Arc::new(FakeTenants {
            pool: tenant.clone(),
            unavailable: AtomicBool::new(false),
        });
        let context = IngestContext::new(
            database.clone(),
            objects.clone(),
            tenants.clone(),
            extractor(),
            models.clone(),
        );
        let (user, workspace) = create_user_and_workspace(&database).await;
        Self {
            database,
            tenant,
            objects,
            s3,
            models,
            tenants,
            context,
            workspace,
            user,
            plan: config::WorkspaceQuota {
                max_upload_bytes: config::ByteSize(25_000_000),
                max_documents: std::num::NonZeroU32::new(20).unwrap(),
                max_workspaces_per_user: std::num::NonZeroU32::new(5).unwrap(),
                max_members: std::num::NonZeroU32::new(5).unwrap(),
                max_workspaces: std::num::NonZeroU32::new(100).unwrap(),
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

    pub(crate) async fn create_upload(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<PendingUpload, documents::CreateUploadError> {
        documents::create_upload(
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

    /// Uploads a file as a browser does, until its job is queued.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> DocumentId {
        let pending = self.create_upload(name, bytes).await.unwrap();
        let status = send(&pending, bytes.to_vec()).await;
        assert_eq!(status, 200);
        let completed = documents::complete_upload(
            &self.database,
            &self.objects,
            &self.workspace,
            pending.document,
        )
        .await
        .unwrap();
        assert_eq!(completed, documents::UploadOutcome::Accepted);
        pending.document
    }

    pub(crate) async fn row(&self, document: DocumentId) -> Option<Document> {
        documents::find(&self.database, &self.workspace.id, document)
            .await
            .unwrap()
    }

    pub(crate) async fn state(&self, document: DocumentId) -> DocumentStatus {
        self.row(document).await.expect("the row is there").state
    }

    /// Runs the document's job, as the queue would.
    pub(crate) async fn ingest(&self, document: DocumentId) -> Result<(), JobError> {
        self.ingest_with(&self.context, document).await
    }

    pub(crate) async fn ingest_with(
        &self,
        context: &IngestContext,
        document: DocumentId,
    ) -> Result<(), JobError> {
        let job = self.job(document).await;
        job.run(context.clone(), Attempt { number: 1 }).await
    }

    pub(crate) async fn job(&self, document: DocumentId) -> Ingest {
        Ingest {
            workspace: self.workspace.id.clone(),
            document,
            revision: self.row(document).await.expect("the row is there").revision,
            ahead: 0,
            size_penalty: 0,
        }
    }

    /// Everything stored about documents in the tenant's database, in a stable order.
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

    /// Empties the tenant's database, so that no earlier result can be reused.
    pub(crate) async fn clear_tenant_database(&self) {
        for sql in ["DELETE FROM documents", "DELETE FROM embedding_drafts"] {
            sqlx::query(sql).execute(&self.tenant).await.unwrap();
        }
    }

    /// As if no ingestion of the document had been completed.
    pub(crate) async fn forget_results(&self, document: DocumentId) {
        sqlx::query("UPDATE documents SET page_count = NULL, chunk_count = NULL WHERE id = $1")
            .bind(document.0)
            .execute(&self.database)
            .await
            .unwrap();
    }

    /// The keys of all jobs.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT key FROM jobs ORDER BY key")
            .fetch_all(&self.database)
            .await
            .unwrap()
    }
}

/// The request with which a browser uploads the file.
pub(crate) fn put(pending: &PendingUpload, bytes: Vec<u8>) -> reqwest::RequestBuilder {
    let mut request = reqwest::Client::new().put(&pending.put.url).body(bytes);
    for (name, value) in &pending.put.headers {
        request = request.header(name, value);
    }
    request
}

pub(crate) async fn send(pending: &PendingUpload, bytes: Vec<u8>) -> u16 {
    let response = put(pending, bytes).send().await.unwrap();
    response.status().as_u16()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A PDF with this number of pages, each of a few hundred words.
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
