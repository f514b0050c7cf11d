//! How far a removal came, as its row keeps it: numbers, times and ids, never names or content.

use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// For so many days Neon can recover a deleted project.
pub const RECOVERABLE_FOR_DAYS: i64 = 7;

/// What is to be done next, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Of an account: leave what others own, and have the other workspaces removed.
    Workspaces,
    /// The files.
    #[default]
    Files,
    /// The Tenant, and with it the database.
    Database,
    /// Everything else that leads here: the rows.
    Rows,
    /// Nothing.
    Nothing,
}

/// How far a removal came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What is to be done next.
    pub step: Step,
    /// Documents that the workspace had.
    pub documents: u64,
    /// Passages that these were cut into.
    pub passages: u64,
    /// Conversations in its database.
    pub conversations: Conversations,
    /// Members that it had.
    pub members: u64,
    /// Files that were removed.
    pub files: u64,
    /// Bytes of those files, old versions included.
    pub file_bytes: u64,
    /// Its database.
    pub database: Option<RemovedDatabase>,
    /// Until when a file may still arrive whose place was promised before.
    pub uploads_until: Option<Timestamp>,
    /// Workspaces that an account left to others.
    pub left: u64,
    /// What it waits for or what is in the way, for people.
    pub held: Option<String>,
}

/// What people had asked in a workspace; it is in the tenant's database alone, so it is counted before that goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversations {
    /// Not looked at, or not yet.
    #[default]
    NotCounted,
    /// The database could not be read, and was not waited for.
    Unknown,
    /// Counted.
    Counted {
        /// Conversations.
        threads: u64,
        /// Questions and answers in them.
        messages: u64,
    },
}

/// A database on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedDatabase {
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
    pub asked_at: Timestamp,
    /// When it was gone.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

impl RemovedDatabase {
    /// Until when Neon could recover it. `None`: not gone yet, or there is nothing to recover.
    pub fn recoverable_until(&self) -> Option<Timestamp> {
        self.project.as_ref().filter(|_| !self.is_retained)?;
        let hours = Span::new().hours(RECOVERABLE_FOR_DAYS * 24);
        self.gone_at?.checked_add(hours).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> RemovedDatabase {
        RemovedDatabase {
            tenant: "ws-abc".to_owned(),
            uid: "one".to_owned(),
            project: Some("quiet-river".to_owned()),
            region: None,
            is_retained: false,
            asked_at: Timestamp::UNIX_EPOCH,
            gone_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn neon_can_recover_a_project_for_a_week_after_it_went() {
        let week = "1970-01-08T00:00:00Z".parse().ok();
        assert_eq!(database().recoverable_until(), week);
        for other in [
            RemovedDatabase {
                project: None,
                ..database()
            },
            RemovedDatabase {
                is_retained: true,
                ..database()
            },
            RemovedDatabase {
                gone_at: None,
                ..database()
            },
        ] {
            assert_eq!(other.recoverable_until(), None, "{other:?}");
        }
    }

    #[test]
    fn a_row_of_an_older_version_is_still_read() {
        let progress: Progress = serde_json::from_str("{}").expect("defaults");
        assert_eq!(progress, Progress::default());
        let conversations = Conversations::Counted {
            threads: 2,
            messages: 7,
        };
        let text = serde_json::to_string(&Progress {
            conversations,
            database: Some(database()),
            ..Progress::default()
        })
        .expect("JSON");
        let read: Progress = serde_json::from_str(&text).expect("read back");
        assert_eq!(read.database, Some(database()));
        assert_eq!(read.conversations, conversations);
    }
}
