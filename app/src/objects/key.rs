//! Where a file is stored: a bucket and a key made of ids.

use crate::ids::{DocumentId, WorkspaceId};

/// The prefix of a workspace's files. It ends with a slash, so that no workspace's prefix is a
/// prefix of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix {
    bucket: String,
    prefix: String,
}

impl KeyPrefix {
    pub(super) fn new(bucket: &str, workspace: &WorkspaceId) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: format!("workspaces/{workspace}/"),
        }
    }

    /// The key of one of the workspace's documents.
    pub fn document(&self, document: DocumentId) -> ObjectKey {
        ObjectKey {
            bucket: self.bucket.clone(),
            key: format!("{}documents/{document}", self.prefix),
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn as_str(&self) -> &str {
        &self.prefix
    }
}

/// A bucket and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKey {
    bucket: String,
    key: String,
}

impl ObjectKey {
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documents_key_starts_with_its_workspaces_prefix() {
        let workspace: WorkspaceId = "abcdefghijkl".parse().unwrap();
        let document: DocumentId = "5b0e5a53-7a0b-4f0f-9f0a-3d6f1d0f8a11".parse().unwrap();
        let key = KeyPrefix::new("files", &workspace).document(document);
        assert_eq!(key.bucket(), "files");
        assert_eq!(
            key.key(),
            "workspaces/abcdefghijkl/documents/5b0e5a53-7a0b-4f0f-9f0a-3d6f1d0f8a11"
        );
    }
}
