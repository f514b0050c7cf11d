//! Progress of a deletion as stored in its row: numbers, times and ids, never names or content.

use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How long Neon can recover a deleted project.
pub const RECOVERY_WINDOW_DAYS: i64 = 7;

/// The next step, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionStep {
    /// Accounts only: leave shared workspaces and wait for the deletion of the others.
    Workspaces,
    #[default]
    Files,
    /// Delete the Tenant, and with it the database.
    Database,
    Rows,
    Finished,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionProgress {
    pub step: DeletionStep,
    /// Number of documents in the workspace.
    pub documents: u64,
    /// Number of passages in those documents.
    pub passages: u64,
    pub conversations: ConversationCount,
    /// Number of members of the workspace.
    pub members: u64,
    pub files: u64,
    /// Total size of the deleted files, including old versions.
    pub file_bytes: u64,
    pub database: Option<DeletedDatabase>,
    /// Until when an upload that was authorized earlier may still arrive.
    pub uploads_until: Option<Timestamp>,
    /// Accounts only: number of shared workspaces that were left.
    pub workspaces_left: u64,
    /// What the deletion is waiting for, as shown to the user.
    pub blocked_on: Option<String>,
}

/// Number of conversations in a workspace. They exist only in the tenant database, so they are
/// counted before it is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationCount {
    #[default]
    NotCounted,
    /// The database could not be read.
    Unknown,
    Counted {
        threads: u64,
        messages: u64,
    },
}

/// A workspace's database that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedDatabase {
    pub tenant: String,
    pub uid: String,
    /// Id of the Neon project, if it had one.
    #[serde(default)]
    pub project: Option<String>,
    #[serde(default)]
    pub region: Option<String>,
    /// Whether the project is kept, by the class's deletion policy.
    #[serde(default)]
    pub is_retained: bool,
    pub requested_at: Timestamp,
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
}

impl DeletedDatabase {
    /// Until when Neon can recover the project. `None` if it has not been deleted or there is
    /// nothing to recover.
    pub fn recoverable_until(&self) -> Option<Timestamp> {
        self.project.as_ref().filter(|_| !self.is_retained)?;
        let hours = Span::new().hours(RECOVERY_WINDOW_DAYS * 24);
        self.deleted_at?.checked_add(hours).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> DeletedDatabase {
        DeletedDatabase {
            tenant: "ws-abc".to_owned(),
            uid: "one".to_owned(),
            project: Some("quiet-river".to_owned()),
            region: None,
            is_retained: false,
            requested_at: Timestamp::UNIX_EPOCH,
            deleted_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_deleted_project_is_recoverable_for_a_week() {
        let week = "1970-01-08T00:00:00Z".parse().ok();
        assert_eq!(database().recoverable_until(), week);
        for other in [
            DeletedDatabase {
                project: None,
                ..database()
            },
            DeletedDatabase {
                is_retained: true,
                ..database()
            },
            DeletedDatabase {
                deleted_at: None,
                ..database()
            },
        ] {
            assert_eq!(other.recoverable_until(), None, "{other:?}");
        }
    }

    #[test]
    fn missing_fields_get_defaults_and_progress_round_trips() {
        let progress: DeletionProgress = serde_json::from_str("{}").expect("defaults");
        assert_eq!(progress, DeletionProgress::default());
        let conversations = ConversationCount::Counted {
            threads: 2,
            messages: 7,
        };
        let text = serde_json::to_string(&DeletionProgress {
            conversations,
            database: Some(database()),
            ..DeletionProgress::default()
        })
        .expect("JSON");
        let read: DeletionProgress = serde_json::from_str(&text).expect("read back");
        assert_eq!(read.database, Some(database()));
        assert_eq!(read.conversations, conversations);
    }
}
