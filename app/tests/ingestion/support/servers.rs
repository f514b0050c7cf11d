//! The parts of a world: a bucket, two databases, the PDF extractor, and a user with a workspace.

use std::path::PathBuf;

use app::config;
use app::domain::Workspace;
use app::ids::{UserId, WorkspaceId};
use app::workspaces;
use local_stack::s3::S3;
use pdf_text::{Extractor, ExtractorConfig, Limits};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _, PgPool};
use tempfile::TempDir;

use super::BUCKET;

/// A versioned bucket without CORS rules.
pub(super) async fn make_bucket(client: &aws_sdk_s3::Client) {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    let versioning = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    client
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(versioning)
        .send()
        .await
        .unwrap();
}

pub(super) fn extractor() -> Extractor {
    Extractor::new(ExtractorConfig {
        program: PathBuf::from(env!("CARGO_BIN_EXE_chat-app")),
        args: vec!["extract".into()],
        limits: Limits::default(),
    })
}

pub(super) fn objects_config(s3: &S3) -> config::Objects {
    config::Objects {
        region: s3.region().to_owned(),
        endpoint: Some(s3.endpoint().parse().unwrap()),
        public_endpoint: None,
        path_style: true,
        bucket: BUCKET.to_owned(),
        region_buckets: config::Buckets::default(),
    }
}

/// A temporary folder for servers.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    // PostgreSQL runs as an unprivileged user and needs access to the directory.
    #[cfg(unix)]
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    folder
}

/// A database on the server, with the tables of a folder of migrations.
pub(crate) async fn database(uri: &str, name: &str, migrations: &str) -> PgPool {
    let options: PgConnectOptions = uri.parse().unwrap();
    let mut server = options.connect().await.unwrap();
    server
        .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await
        .unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(40)
        .connect_with(options.database(name))
        .await
        .unwrap();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(migrations);
    Migrator::new(folder)
        .await
        .unwrap()
        .run(&pool)
        .await
        .unwrap();
    pool
}

pub(super) async fn database_of_tenant(uri: &str, name: &str) -> PgPool {
    database(uri, name, "../tenant-migrations").await
}

pub(super) async fn create_user_and_workspace(database: &PgPool) -> (UserId, Workspace) {
    let user = UserId::random();
    let workspace = WorkspaceId::random();
    sqlx::query("INSERT INTO users (id, display_name) VALUES ($1, 'Ada')")
        .bind(user.0)
        .execute(database)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO workspaces (id, name, request_id, class_name, state, created_by)
         VALUES ($1, 'Test', gen_random_uuid(), 'default', 'active', $2)",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .execute(database)
    .await
    .unwrap();
    let workspace = workspaces::store::find(database, &workspace)
        .await
        .unwrap()
        .unwrap();
    (user, workspace)
}
