//! The object store: uploaded files in S3 or an S3-compatible service.
//!
//! Browsers upload a file directly to its key with a URL that is signed for exactly its length,
//! media type and checksum ([`ObjectStore::presign_put`]), and download it with a URL that is valid
//! for minutes. This process verifies uploads, streams files to the PDF extractor, and deletes
//! files with all their versions ([`ObjectStore::delete`]). A workspace's files share one prefix in
//! the bucket of the workspace's region. Keys consist of ids only and never contain a file name.

mod client;
mod conditional_writes;
mod cors;
mod delete;
mod error;
mod key;
mod presign;

use std::fmt;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::AsyncRead;

use crate::config;

pub use client::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, MAX_ATTEMPTS, MissingCredentials, OPERATION_TIMEOUT,
    READ_TIMEOUT,
};
pub use cors::{CORS_MAX_AGE_SECONDS, CorsStatus};
pub use delete::DeletedObjects;
pub use error::{ObjectStoreError, TransientError};
pub use key::{KeyPrefix, ObjectKey};
pub use presign::{Disposition, PresignedPut, UploadConstraints};

pub type Sha256Digest = [u8; 32];

/// The client of the object store. Cheap to clone.
#[derive(Clone)]
pub struct ObjectStore {
    /// Uses the endpoint that this process connects to.
    client: Client,
    /// Uses the endpoint that browsers connect to. It only signs URLs.
    public: Client,
    settings: Arc<config::Objects>,
}

/// An object's metadata, as reported by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMetadata {
    pub byte_count: u64,
    /// `None` if the store did not verify and keep a checksum.
    pub sha256: Option<Sha256Digest>,
}

impl ObjectStore {
    /// Creates the clients. Credentials come from the standard AWS environment. Sends no request.
    pub async fn start(config: &config::Objects) -> Result<Self, MissingCredentials> {
        Self::connect(config, None).await
    }

    /// Like [`ObjectStore::start`], with these credentials.
    pub async fn with_credentials(
        config: &config::Objects,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, MissingCredentials> {
        let credentials = Credentials::new(access_key, secret_key, None, None, "static");
        Self::connect(config, Some(credentials)).await
    }

    async fn connect(
        config: &config::Objects,
        credentials: Option<Credentials>,
    ) -> Result<Self, MissingCredentials> {
        let (client, public) = client::clients(config, credentials).await?;
        Ok(Self {
            client,
            public,
            settings: Arc::new(config.clone()),
        })
    }

    /// The prefix of a workspace's files; `region` is the workspace's.
    pub fn prefix(&self, region: Option<&str>, workspace: &crate::ids::WorkspaceId) -> KeyPrefix {
        KeyPrefix::new(self.settings.bucket(region), workspace)
    }

    /// The object's metadata; `None` if there is no object.
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMetadata>, ObjectStoreError> {
        let response = self
            .client
            .head_object()
            .bucket(key.bucket())
            .key(key.key())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match response {
            Ok(head) => Ok(Some(ObjectMetadata {
                byte_count: head
                    .content_length()
                    .and_then(|count| u64::try_from(count).ok())
                    .unwrap_or(0),
                // The checksum of a multipart upload ("...-3") is computed from its parts and is no
                // digest of the bytes.
                sha256: head
                    .checksum_sha256()
                    .and_then(|text| BASE64.decode(text).ok())
                    .and_then(|bytes| bytes.try_into().ok()),
            })),
            Err(error) => match ObjectStoreError::from_sdk(error) {
                ObjectStoreError::NotFound => Ok(None),
                error => Err(error),
            },
        }
    }

    pub async fn read(
        &self,
        key: &ObjectKey,
    ) -> Result<impl AsyncRead + Send + Unpin + use<>, ObjectStoreError> {
        Ok(self.get(key, None).await?.into_async_read())
    }

    /// The first `byte_count` bytes of the file, or fewer if it is shorter.
    pub async fn read_start(
        &self,
        key: &ObjectKey,
        byte_count: u16,
    ) -> Result<Vec<u8>, ObjectStoreError> {
        let range = format!("bytes=0-{}", byte_count.saturating_sub(1));
        let body = self.get(key, Some(range)).await?;
        let bytes = body
            .collect()
            .await
            .map_err(|_| ObjectStoreError::Unavailable(TransientError::Interrupted))?
            .into_bytes();
        // A server without range support sends the whole file.
        Ok(bytes
            .get(..usize::from(byte_count))
            .unwrap_or(&bytes)
            .to_vec())
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<String>,
    ) -> Result<ByteStream, ObjectStoreError> {
        let response = self
            .client
            .get_object()
            .bucket(key.bucket())
            .key(key.key())
            .set_range(range)
            .send()
            .await
            .map_err(ObjectStoreError::from_sdk)?;
        Ok(response.body)
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore")
            .field("buckets", &self.settings.all_buckets())
            .finish_non_exhaustive()
    }
}
