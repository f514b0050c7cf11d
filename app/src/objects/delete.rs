//! Deletes files with all their versions, including in versioned buckets.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{KeyPrefix, ObjectKey, ObjectStore, ObjectStoreError};

/// S3's limit for one request.
const MAX_BATCH_OBJECTS: i32 = 1000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletedObjects {
    /// Keys; several versions of a key count once.
    pub objects: u64,
    /// Bytes of all versions.
    pub byte_count: u64,
}

impl ObjectStore {
    /// Deletes a file with all its versions. Succeeds if there is none.
    pub async fn delete(&self, key: &ObjectKey) -> Result<DeletedObjects, ObjectStoreError> {
        self.delete_where(key.bucket(), key.key(), |other| other == key.key())
            .await
    }

    /// Deletes all files of a workspace with all their versions.
    pub async fn delete_prefix(
        &self,
        prefix: &KeyPrefix,
    ) -> Result<DeletedObjects, ObjectStoreError> {
        self.delete_where(prefix.bucket(), prefix.as_str(), |_| true)
            .await
    }

    async fn delete_where(
        &self,
        bucket: &str,
        prefix: &str,
        matches: impl Fn(&str) -> bool,
    ) -> Result<DeletedObjects, ObjectStoreError> {
        let mut deleted = DeletedObjects::default();
        let mut keys = BTreeSet::new();
        let mut key_marker = None;
        let mut version_marker = None;
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(bucket)
                .prefix(prefix)
                .max_keys(MAX_BATCH_OBJECTS)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(ObjectStoreError::from_sdk)?;
            let mut identifiers = Vec::new();
            for version in page.versions() {
                let Some(key) = version.key().filter(|key| matches(key)) else {
                    continue;
                };
                identifiers.push(identifier(key, version.version_id())?);
                keys.insert(key.to_owned());
                deleted.byte_count += version
                    .size()
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0);
            }
            for marker in page.delete_markers() {
                if let Some(key) = marker.key().filter(|key| matches(key)) {
                    identifiers.push(identifier(key, marker.version_id())?);
                }
            }
            self.delete_batch(bucket, identifiers).await?;
            if page.is_truncated() != Some(true) {
                break;
            }
            key_marker = page.next_key_marker().map(ToOwned::to_owned);
            version_marker = page.next_version_id_marker().map(ToOwned::to_owned);
            if key_marker.is_none() {
                break;
            }
        }
        deleted.objects = keys.len() as u64;
        Ok(deleted)
    }

    async fn delete_batch(
        &self,
        bucket: &str,
        identifiers: Vec<ObjectIdentifier>,
    ) -> Result<(), ObjectStoreError> {
        if identifiers.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder()
            .set_objects(Some(identifiers))
            .quiet(true)
            .build()
            .map_err(|_| ObjectStoreError::InvalidRequest)?;
        let response = self
            .client
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .send()
            .await
            .map_err(ObjectStoreError::from_sdk)?;
        // The request succeeds even if the deletion of some objects was rejected.
        match response.errors().first() {
            None => Ok(()),
            Some(error) => Err(ObjectStoreError::Rejected {
                status: 200,
                code: error.code().unwrap_or("(no code)").to_owned(),
            }),
        }
    }
}

fn identifier(key: &str, version: Option<&str>) -> Result<ObjectIdentifier, ObjectStoreError> {
    ObjectIdentifier::builder()
        .key(key)
        // Unversioned buckets report the version "null", which is also a valid version id.
        .set_version_id(version.filter(|id| !id.is_empty()).map(ToOwned::to_owned))
        .build()
        .map_err(|_| ObjectStoreError::InvalidRequest)
}
