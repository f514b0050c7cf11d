//! Workspaces: creation, membership, export and deletion.
//!
//! A workspace consists of rows in the main database, a Tenant in the cluster (and with it a
//! database), and objects under an S3 prefix. The rows are created first and deleted last, so
//! everything else can always be found from them. A Tenant whose UID was once recorded is never
//! recreated.

pub mod create;
pub mod deletion;
pub mod export;
pub mod invitations;
pub mod members;
mod membership;
pub mod orphans;
mod ownership;
pub mod reconcile;
pub mod store;
