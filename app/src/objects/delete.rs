//! Taking files away, so that nothing stays behind: also in buckets that keep versions.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{Objects, ObjectsError, Place, Prefix};

/// Objects taken away by one request at most: S3's own limit.
const BATCH_MAX: i32 = 1000;

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files; the versions of one count once.
    pub objects: u64,
    /// Bytes of all versions.
    pub byte_count: u64,
}

impl Objects {
    /// Takes one file away with all its versions. That there is none is fine.
    pub async fn remove(&self, place: &Place) -> Result<Removed, ObjectsError> {
        self.remove_where(place.bucket(), place.key(), |key| key == place.key())
            .await
    }

    /// Takes all of a workspace's files away with all their versions.
    pub async fn remove_prefix(&self, prefix: &Prefix) -> Result<Removed, ObjectsError> {
        self.remove_where(prefix.bucket(), prefix.as_str(), |_| true)
            .await
    }

    async fn remove_where(
        &self,
        bucket: &str,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Removed, ObjectsError> {
        let mut removed = Removed::default();
        let mut keys = BTreeSet::new();
        let mut key_marker = None;
        let mut version_marker = None;
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(bucket)
                .prefix(prefix)
                .max_keys(BATCH_MAX)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(ObjectsError::from_sdk)?;
            let mut doomed = Vec::new();
            for version in page.versions() {
                let Some(key) = version.key().filter(|key| wanted(key)) else {
                    continue;
                };
                doomed.push(identifier(key, version.version_id())?);
                keys.insert(key.to_owned());
                removed.byte_count += version
                    .size()
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0);
            }
            for marker in page.delete_markers() {
                if let Some(key) = marker.key().filter(|key| wanted(key)) {
                    doomed.push(identifier(key, marker.version_id())?);
                }
            }
            self.remove_batch(bucket, doomed).await?;
            if page.is_truncated() != Some(true) {
                break;
            }
            key_marker = page.next_key_marker().map(ToOwned::to_owned);
            version_marker = page.next_version_id_marker().map(ToOwned::to_owned);
            if key_marker.is_none() {
                break;
            }
        }
        removed.objects = keys.len() as u64;
        Ok(removed)
    }

    async fn remove_batch(
        &self,
        bucket: &str,
        doomed: Vec<ObjectIdentifier>,
    ) -> Result<(), ObjectsError> {
        if doomed.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder()
            .set_objects(Some(doomed))
            .quiet(true)
            .build()
            .map_err(|_| ObjectsError::Unmade)?;
        let answer = self
            .client
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .send()
            .await
            .map_err(ObjectsError::from_sdk)?;
        // The request as a whole succeeds also when single objects were refused.
        match answer.errors().first() {
            None => Ok(()),
            Some(refused) => Err(ObjectsError::Refused {
                status: 200,
                code: refused.code().unwrap_or("without a code").to_owned(),
            }),
        }
    }
}

fn identifier(key: &str, version: Option<&str>) -> Result<ObjectIdentifier, ObjectsError> {
    ObjectIdentifier::builder()
        .key(key)
        // Buckets without versions name theirs "null"; that is a version's name too.
        .set_version_id(version.filter(|id| !id.is_empty()).map(ToOwned::to_owned))
        .build()
        .map_err(|_| ObjectsError::Unmade)
}
