//! The S3 server: versitygw over a folder of the run, or the developer's own (`S3_ENDPOINT`).

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
use tokio::sync::Mutex;

use crate::control_plane::free_port;
use crate::http_process::HttpProcess;
use crate::install::{self, variable};

/// The variable that names an S3 server of the developer's own; its keys are in `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY`, its region in `AWS_REGION`.
pub const S3_ENDPOINT: &str = "S3_ENDPOINT";
/// Without a word about it, requests are signed for this region.
const REGION: &str = "us-east-1";
/// versitygw answers there once it serves.
const HEALTH: &str = "/.health";
/// From start to serving; a fifth of a second when nothing is wrong.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long browsers may remember what CORS allows them, in seconds.
const CORS_MAX_AGE_SECONDS: i32 = 600;

/// A running S3 server.
#[derive(Debug)]
pub struct S3 {
    endpoint: String,
    region: String,
    access_key: String,
    secret_key: String,
    /// Ours, if it is ours.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Mutex<Option<HttpProcess>>,
}

impl S3 {
    /// The server of `S3_ENDPOINT`; else a fresh one whose data lies in `folder`, installed if need be.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(endpoint) = text_variable(S3_ENDPOINT)? {
            let needed = |name: &str| {
                text_variable(name)?
                    .with_context(|| format!("{S3_ENDPOINT} is set, but not {name}"))
            };
            return Ok(Self {
                endpoint,
                region: text_variable("AWS_REGION")?.unwrap_or_else(|| REGION.into()),
                access_key: needed("AWS_ACCESS_KEY_ID")?,
                secret_key: needed("AWS_SECRET_ACCESS_KEY")?,
                own: None,
            });
        }
        let program = tokio::task::spawn_blocking(install::versitygw).await??;
        let folder = folder.join("s3");
        for name in ["buckets", "versions", "metadata"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let port = free_port()?;
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: REGION.into(),
            access_key: random_key(),
            secret_key: random_key(),
            own: Some(Own {
                program,
                folder,
                port,
                process: Mutex::default(),
            }),
        };
        server.bring_back().await?;
        Ok(server)
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The keys.
    pub fn keys(&self) -> (&str, &str) {
        (&self.access_key, &self.secret_key)
    }

    /// Whether it is ours, and goes with the run.
    pub fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    /// A client with all rights.
    pub fn client(&self) -> aws_sdk_s3::Client {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let keys = Credentials::new(&self.access_key, &self.secret_key, None, None, "dev");
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

    /// Makes a bucket that keeps versions, which browsers at `origins` may put files into and read them from.
    pub async fn create_bucket(&self, name: &str, origins: &[&str]) -> Result<()> {
        let client = self.client();
        client
            .create_bucket()
            .bucket(name)
            .send()
            .await
            .with_context(|| format!("cannot make the bucket {name}"))?;
        let versioning = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        client
            .put_bucket_versioning()
            .bucket(name)
            .versioning_configuration(versioning)
            .send()
            .await
            .with_context(|| format!("the bucket {name} cannot keep versions"))?;
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
            .with_context(|| format!("browsers cannot be let into the bucket {name}"))?;
        Ok(())
    }

    /// What a bucket keeps, by key and version, versions and marks of deletion among them.
    pub async fn kept(&self, bucket: &str) -> Result<Vec<(String, String)>> {
        let client = self.client();
        let (mut kept, mut key, mut version) = (Vec::new(), None, None);
        loop {
            let page = client
                .list_object_versions()
                .bucket(bucket)
                .set_key_marker(key)
                .set_version_id_marker(version)
                .send()
                .await
                .with_context(|| format!("the bucket {bucket} cannot be listed"))?;
            let versions = page.versions().iter();
            let marks = page.delete_markers().iter();
            kept.extend(
                versions
                    .map(|entry| (entry.key(), entry.version_id()))
                    .chain(marks.map(|entry| (entry.key(), entry.version_id())))
                    .map(|(key, version)| {
                        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
                        (text(key), text(version))
                    }),
            );
            if page.is_truncated() != Some(true) {
                return Ok(kept);
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// Takes our server away, as an outage would; its data stays.
    pub async fn take_away(&self) {
        if let Some(own) = &self.own {
            let running = own.process.lock().await.take();
            if let Some(process) = running {
                process.terminate().await;
            }
        }
    }

    /// Starts our server (again), on its port.
    pub async fn bring_back(&self) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let mut command = Command::new(&own.program);
        command
            .args(["--port", &format!("127.0.0.1:{}", own.port)])
            .args(["--region", &self.region, "--health", HEALTH, "--quiet"])
            .arg("posix")
            .arg("--versioning-dir")
            .arg(own.folder.join("versions"))
            // Beside the files and not in their attributes, which not every file system has.
            .arg("--sidecar")
            .arg(own.folder.join("metadata"))
            .arg(own.folder.join("buckets"))
            .env("ROOT_ACCESS_KEY", &self.access_key)
            .env("ROOT_SECRET_KEY", &self.secret_key)
            .current_dir(&own.folder);
        let log = own.folder.join("versitygw.log");
        let process = HttpProcess::spawn("the S3 server", &command, &log, STOP_GRACE)?;
        let mut running = own.process.lock().await;
        let process = running.insert(process);
        let health = format!("{}{HEALTH}", self.endpoint);
        process.wait_until_ready(&health, READY_LIMIT).await
    }

    /// The last lines of its log, if it is ours.
    pub async fn log_tail(&self, lines: usize) -> String {
        let Some(own) = &self.own else {
            return String::new();
        };
        let process = own.process.lock().await;
        process
            .as_ref()
            .map(|process| process.log_tail(lines))
            .unwrap_or_default()
    }

    /// Stops it, if it is ours; another's loses the bucket that the run made, with all that is in it.
    pub async fn stop(self, bucket: &str) -> Result<()> {
        if self.own.is_some() {
            self.take_away().await;
            return Ok(());
        }
        let client = self.client();
        for (key, version) in self.kept(bucket).await? {
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

/// Letters and digits that nobody guesses.
fn random_key() -> String {
    let half = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

fn text_variable(name: &str) -> Result<Option<String>> {
    variable(name)
        .map(std::ffi::OsString::into_string)
        .transpose()
        .map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))
}
