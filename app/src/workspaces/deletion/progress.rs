//! How far a deletion came, as its row keeps it: numbers, times and ids, never names or content.

use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// For so many days Neon can recover a deleted project.
pub const RECOVERY_WINDOW_DAYS: i64 = 7;

/// What is to be done next, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionStep {
    /// Of an account: leave what others own, and have the other workspaces removed.
    Workspaces,
    /// The files.
    #[default]
    FileStore,
    /// The Tenant, and with it the database.
    Database,
    /// Everything else that leads here: the rows.
    Rows,
    /// Nothing.
    Nothing,
}

/// How far a deletion came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionProgress {
    /// What is to be done next.
    pub step: DeletionStep,
    /// Documents that the workspace had.
    pub documents: u64,
    /// Passages that these were cut into.
    pub passages: u64,
    /// ConversationCount in its database.
    pub conversations: ConversationCount,
    /// Members that it had.
    pub members: u64,
    /// FileStore that were removed.
    pub files: u64,
    /// Bytes of those files, old versions included.
    pub file_bytes: u64,
    /// Its database.
    pub database: Option<DeletedDatabase>,
    /// Until when a file may still arrive whose place was promised before.
    pub uploads_until: Option<Timestamp>,
    /// Workspaces that an account left to others.
    pub workspaces_left: u64,
    /// What it waits for or what is in the way, for people.
    pub blocked_on: Option<String>,
}

/// What people had asked in a workspace; it is in the tenant's database alone, so it is counted before that goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationCount {
    /// Not looked at, or not yet.
    #[default]
    NotCounted,
    /// The database could not be read, and was not waited for.
    Unknown,
    /// Counted.
    Counted {
        /// ConversationCount.
        threads: u64,
        /// Questions and answers in them.
        messages: u64,
    },
}

/// A database on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedDatabase {
    /// Name of the Tenant.
    pub tenant: String,
    /// Its uid.
    pub uid: String,
    /// Id of the Neon project, if there was one.
    #[serde(default)]
    pub project: Option<String>,
    /// Where it was.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether the project stays behind, because its class says so.
    #[serde(default)]
    pub is_retained: bool,
    /// When its deletion was asked for.
    pub requested_at: Timestamp,
    /// When it was gone.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
}

impl DeletedDatabase {
    /// Until when Neon could recover it. `None`: not gone yet, or there is nothing to recover.
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
    fn neon_can_recover_a_project_for_a_week_after_it_went() {
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
    fn a_row_of_an_older_version_is_still_read() {
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
