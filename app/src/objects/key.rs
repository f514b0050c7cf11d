//! Where files lie: a bucket and a key, made of ids alone.

use crate::ids::{DocumentId, WorkspaceId};

/// The prefix of one workspace's files. It ends in a slash, so that it is never the beginning of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    bucket: String,
    prefix: String,
}

impl Prefix {
    pub(super) fn new(bucket: &str, workspace: &WorkspaceId) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: format!("workspaces/{workspace}/"),
        }
    }

    /// Where a document of the workspace lies.
    pub fn document(&self, document: DocumentId) -> Place {
        Place {
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

/// The place of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    bucket: String,
    key: String,
}

impl Place {
    /// Its bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Its key there.
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_lies_under_its_workspaces_prefix() {
        let workspace: WorkspaceId = "abcdefghijkl".parse().unwrap();
        let document: DocumentId = "5b0e5a53-7a0b-4f0f-9f0a-3d6f1d0f8a11".parse().unwrap();
        let place = Prefix::new("files", &workspace).document(document);
        assert_eq!(place.bucket(), "files");
        assert_eq!(
            place.key(),
            "workspaces/abcdefghijkl/documents/5b0e5a53-7a0b-4f0f-9f0a-3d6f1d0f8a11"
        );
    }
}
