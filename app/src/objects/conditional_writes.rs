//! Checks that the buckets reject a second upload to the same key. A store that ignores
//! `If-None-Match` lets a presigned upload URL be used repeatedly until it expires.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::{ObjectKey, ObjectStore, ObjectStoreError};
use crate::ids::{DocumentId, WorkspaceId};

/// Delay before the check is repeated while the store is unavailable.
const RETRY_DELAY: Duration = Duration::from_mins(1);
const PRECONDITION_FAILED: u16 = 412;

impl ObjectStore {
    /// Checks all buckets once and logs the result. Repeats while the store is unavailable.
    pub async fn check_conditional_writes(self) {
        for bucket in self.settings.all_buckets() {
            let supported = loop {
                match self.supports_conditional_writes(bucket).await {
                    Err(ObjectStoreError::Unavailable(_)) => sleep(RETRY_DELAY).await,
                    result => break result,
                }
            };
            match supported {
                Ok(true) => info!(bucket, "bucket supports conditional writes"),
                Ok(false) => warn!(
                    bucket,
                    "bucket ignores If-None-Match, so an upload URL can be used repeatedly until it expires; \
                     use an object store with conditional writes"
                ),
                Err(error) => warn!(
                    bucket,
                    error = %service_kit::error_chain(&error),
                    "failed to check whether the bucket supports conditional writes"
                ),
            }
        }
    }

    /// Writes an empty file twice to a new key, with the condition that none exists, and deletes it.
    pub async fn supports_conditional_writes(
        &self,
        bucket: &str,
    ) -> Result<bool, ObjectStoreError> {
        let key =
            super::KeyPrefix::new(bucket, &WorkspaceId::random()).document(DocumentId::random());
        let first = self.create(&key).await;
        let second = match first {
            Ok(()) => self.create(&key).await,
            Err(_) => first,
        };
        self.delete(&key).await?;
        match second {
            Ok(()) => Ok(false),
            // Also after the first write, if the SDK repeated a request that timed out.
            Err(ObjectStoreError::Rejected {
                status: PRECONDITION_FAILED,
                ..
            }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, key: &ObjectKey) -> Result<(), ObjectStoreError> {
        self.client
            .put_object()
            .bucket(key.bucket())
            .key(key.key())
            .if_none_match("*")
            .send()
            .await
            .map(drop)
            .map_err(ObjectStoreError::from_sdk)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::{Method, StatusCode};

    use super::*;

    /// An object store that accepts every write.
    async fn accept_every_write(request: Request) -> (StatusCode, &'static str) {
        match request.method() {
            &Method::GET => (StatusCode::OK, "<ListVersionsResult/>"),
            _ => (StatusCode::OK, ""),
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_condition_is_recognised() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(accept_every_write)).await
        });
        let settings = crate::config::Objects {
            bucket: "files".to_owned(),
            region_buckets: crate::config::Buckets::default(),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.parse().unwrap()),
            public_endpoint: None,
            path_style: true,
        };
        let store = ObjectStore::with_credentials(&settings, "key", "secret")
            .await
            .unwrap();
        assert!(!store.supports_conditional_writes("files").await.unwrap());
    }
}
