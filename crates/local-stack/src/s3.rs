//! The S3 server: versitygw with its data in the run's folder, or the developer's own
//! (`S3_ENDPOINT`).

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::types::{
    BucketVersioningStatus, CorsConfiguration, CorsRule, VersioningConfiguration,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use installer::environment_variable;
use installer::external::S3_ENDPOINT;
use tokio::sync::Mutex;

use crate::control_plane::free_port;
use crate::http_process::HttpProcess;
/// Requests are signed for this region unless `AWS_REGION` is set.
const DEFAULT_REGION: &str = "us-east-1";
/// The path of versitygw's health check.
const HEALTH: &str = "/.health";
/// From the start until the health check succeeds, which normally takes 0.2 s.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_GRACE: Duration = Duration::from_secs(5);
const CORS_MAX_AGE_SECONDS: i32 = 600;

#[derive(Debug)]
pub struct S3 {
    endpoint: String,
    region: String,
    access_key: String,
    secret_key: String,
    /// `None` for the developer's own server.
    managed: Option<ManagedServer>,
}

#[derive(Debug)]
struct ManagedServer {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Mutex<Option<HttpProcess>>,
}

impl S3 {
    /// Uses the server of `S3_ENDPOINT`, or starts a new one with its data in `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(endpoint) = text_variable(S3_ENDPOINT)? {
            let required = |name: &str| {
                text_variable(name)?
                    .with_context(|| format!("{S3_ENDPOINT} is set, so {name} must be set as well"))
            };
            return Ok(Self {
                endpoint,
                region: text_variable("AWS_REGION")?.unwrap_or_else(|| DEFAULT_REGION.into()),
                access_key: required("AWS_ACCESS_KEY_ID")?,
                secret_key: required("AWS_SECRET_ACCESS_KEY")?,
                managed: None,
            });
        }
        let program = tokio::task::spawn_blocking(installer::versitygw).await??;
        let folder = folder.join("s3");
        for name in ["buckets", "versions", "metadata"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let port = free_port()?;
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: DEFAULT_REGION.into(),
            access_key: random_key(),
            secret_key: random_key(),
            managed: Some(ManagedServer {
                program,
                folder,
                port,
                process: Mutex::default(),
            }),
        };
        server.start_server().await?;
        Ok(server)
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// The access key and the secret key.
    pub fn keys(&self) -> (&str, &str) {
        (&self.access_key, &self.secret_key)
    }

    /// Whether this run started the server and stops it.
    pub fn is_managed(&self) -> bool {
        self.managed.is_some()
    }

    /// A client with all permissions.
    pub fn client(&self) -> aws_sdk_s3::Client {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let keys = Credentials::new(
            &self.access_key,
            &self.secret_key,
            None,
            None,
            "local-stack",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .credentials_provider(keys)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .http_client(http)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Creates a versioned bucket that browsers at `origins` may upload to and download from.
    pub async fn create_bucket(&self, name: &str, origins: &[&str]) -> Result<()> {
        let client = self.client();
        client
            .create_bucket()
            .bucket(name)
            .send()
            .await
            .with_context(|| format!("failed to create the bucket {name}"))?;
        let versioning = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        client
            .put_bucket_versioning()
            .bucket(name)
            .versioning_configuration(versioning)
            .send()
            .await
            .with_context(|| format!("failed to enable versioning of the bucket {name}"))?;
        let rule = CorsRule::builder()
            .set_allowed_origins(Some(origins.iter().map(|&origin| origin.into()).collect()))
            .set_allowed_methods(Some(vec!["GET".into(), "HEAD".into(), "PUT".into()]))
            .allowed_headers("*")
            .expose_headers("ETag")
            .max_age_seconds(CORS_MAX_AGE_SECONDS)
            .build()?;
        let cors = CorsConfiguration::builder().cors_rules(rule).build()?;
        client
            .put_bucket_cors()
            .bucket(name)
            .cors_configuration(cors)
            .send()
            .await
            .with_context(|| format!("failed to configure CORS of the bucket {name}"))?;
        Ok(())
    }

    /// Key and version of every object version and delete marker in a bucket.
    pub async fn object_versions(&self, bucket: &str) -> Result<Vec<(String, String)>> {
        let client = self.client();
        let (mut found, mut key, mut version) = (Vec::new(), None, None);
        loop {
            let page = client
                .list_object_versions()
                .bucket(bucket)
                .set_key_marker(key)
                .set_version_id_marker(version)
                .send()
                .await
                .with_context(|| format!("failed to list the bucket {bucket}"))?;
            let versions = page.versions().iter();
            let delete_markers = page.delete_markers().iter();
            found.extend(
                versions
                    .map(|entry| (entry.key(), entry.version_id()))
                    .chain(delete_markers.map(|entry| (entry.key(), entry.version_id())))
                    .map(|(key, version)| {
                        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
                        (text(key), text(version))
                    }),
            );
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// Stops the server and keeps its data, to simulate an outage. Does nothing to the developer's
    /// own server.
    pub async fn stop_server(&self) {
        if let Some(server) = &self.managed {
            let running = server.process.lock().await.take();
            if let Some(process) = running {
                process.terminate().await;
            }
        }
    }

    /// Starts the server, or starts it again on the same port.
    pub async fn start_server(&self) -> Result<()> {
        let Some(server) = &self.managed else {
            return Ok(());
        };
        let mut command = Command::new(&server.program);
        command
            .args(["--port", &format!("127.0.0.1:{}", server.port)])
            .args(["--region", &self.region, "--health", HEALTH, "--quiet"])
            .arg("posix")
            .arg("--versioning-dir")
            .arg(server.folder.join("versions"))
            // Metadata in files of their own: not every file system supports extended attributes.
            .arg("--sidecar")
            .arg(server.folder.join("metadata"))
            .arg(server.folder.join("buckets"))
            .env("ROOT_ACCESS_KEY", &self.access_key)
            .env("ROOT_SECRET_KEY", &self.secret_key)
            .current_dir(&server.folder);
        let log = server.folder.join("versitygw.log");
        let process = HttpProcess::spawn("the S3 server", command, &log, STOP_GRACE)?;
        let mut running = server.process.lock().await;
        let process = running.insert(process);
        let health = format!("{}{HEALTH}", self.endpoint);
        process.wait_until_ready(&health, READY_TIMEOUT).await
    }

    /// Stops the server. On the developer's own server it deletes the bucket with its contents
    /// instead.
    pub async fn stop(self, bucket: &str) -> Result<()> {
        if self.managed.is_some() {
            self.stop_server().await;
            return Ok(());
        }
        let client = self.client();
        for (key, version) in self.object_versions(bucket).await? {
            client
                .delete_object()
                .bucket(bucket)
                .key(key)
                .version_id(version)
                .send()
                .await?;
        }
        client.delete_bucket().bucket(bucket).send().await?;
        Ok(())
    }
}

fn random_key() -> String {
    let half = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

fn text_variable(name: &str) -> Result<Option<String>> {
    environment_variable(name)
        .map(std::ffi::OsString::into_string)
        .transpose()
        .map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))
}
