//! The files themselves, in S3 or what speaks like it.
//!
//! Browsers send a file straight to its place with a URL that is signed for exactly its length, type and checksum ([`Objects::presign_put`]),
//! and read it back by one that is good for minutes. This process looks at what arrived, streams it to the reader of PDFs, and
//! takes it away with all its versions ([`Objects::remove`]). A workspace's files lie under one prefix, in the bucket of its
//! region; a place is made from ids alone, never from a file's name.

mod client;
mod cors;
mod error;
mod place;
mod presign;
mod remove;

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
    ATTEMPT_LIMIT, ATTEMPTS_MAX, CONNECT_LIMIT, OPERATION_LIMIT, READ_LIMIT, StartError,
};
pub use cors::{CORS_MAX_AGE_SECONDS, Cors};
pub use error::{ObjectsError, Trouble};
pub use place::{Place, Prefix};
pub use presign::{Disposition, PresignedPut, PutTerms};
pub use remove::Removed;

/// The SHA-256 of a file's bytes.
pub type Sha256Digest = [u8; 32];

/// The store of files; clones share its connections.
#[derive(Clone)]
pub struct Objects {
    /// As this process reaches the server.
    client: Client,
    /// As browsers do: it signs URLs and sends nothing.
    public: Client,
    buckets: Arc<config::Buckets>,
}

/// What lies at a place, as the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its length.
    pub byte_count: u64,
    /// Of its bytes, if the server checked and kept it.
    pub sha256: Option<Sha256Digest>,
}

impl Objects {
    /// Clients for the servers of the configuration; keys come from the standard AWS environment. Nothing is sent yet.
    pub async fn start(config: &config::Objects) -> Result<Self, StartError> {
        Self::of(config, None).await
    }

    /// As [`Objects::start`], with these keys.
    pub async fn with_keys(
        config: &config::Objects,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, StartError> {
        let keys = Credentials::new(access_key, secret_key, None, None, "given");
        Self::of(config, Some(keys)).await
    }

    async fn of(config: &config::Objects, keys: Option<Credentials>) -> Result<Self, StartError> {
        let (client, public) = client::clients(config, keys).await?;
        Ok(Self {
            client,
            public,
            buckets: Arc::new(config.buckets.clone()),
        })
    }

    /// Where a workspace's files are; `region` is the workspace's.
    pub fn prefix(&self, region: Option<&str>, workspace: &crate::ids::WorkspaceId) -> Prefix {
        Prefix::new(self.buckets.of(region), workspace)
    }

    /// What lies at the place, if anything does.
    pub async fn head(&self, place: &Place) -> Result<Option<Stored>, ObjectsError> {
        let answer = self
            .client
            .head_object()
            .bucket(place.bucket())
            .key(place.key())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match answer {
            Ok(head) => Ok(Some(Stored {
                byte_count: head
                    .content_length()
                    .and_then(|count| u64::try_from(count).ok())
                    .unwrap_or(0),
                // The checksum of a multipart upload is one of parts ("...-3") and no digest of the bytes.
                sha256: head
                    .checksum_sha256()
                    .and_then(|text| BASE64.decode(text).ok())
                    .and_then(|bytes| bytes.try_into().ok()),
            })),
            Err(error) => match ObjectsError::from_sdk(error) {
                ObjectsError::Missing => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The file's bytes as they come.
    pub async fn read(
        &self,
        place: &Place,
    ) -> Result<impl AsyncRead + Send + Unpin + use<>, ObjectsError> {
        Ok(self.get(place, None).await?.into_async_read())
    }

    /// The first bytes of the file, at most this many.
    pub async fn read_start(
        &self,
        place: &Place,
        byte_count: u16,
    ) -> Result<Vec<u8>, ObjectsError> {
        let range = format!("bytes=0-{}", byte_count.saturating_sub(1));
        let body = self.get(place, Some(range)).await?;
        let bytes = body
            .collect()
            .await
            .map_err(|_| ObjectsError::Away(Trouble::CutOff))?
            .into_bytes();
        // A server that knows no ranges sends the whole.
        Ok(bytes
            .get(..usize::from(byte_count))
            .unwrap_or(&bytes)
            .to_vec())
    }

    async fn get(&self, place: &Place, range: Option<String>) -> Result<ByteStream, ObjectsError> {
        let answer = self
            .client
            .get_object()
            .bucket(place.bucket())
            .key(place.key())
            .set_range(range)
            .send()
            .await
            .map_err(ObjectsError::from_sdk)?;
        Ok(answer.body)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}
