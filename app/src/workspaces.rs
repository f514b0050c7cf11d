//! Workspaces: who shares one, how one comes to be, and how one goes.
//!
//! A workspace is a row here, a Tenant in the cluster (and with it a database), and objects under a prefix. The row comes first and goes
//! last, so that whatever else there is can always be found from it. Nothing here opens a tenant's database, and nothing makes a
//! Tenant anew whose uid was once known.

pub mod reconcile;
pub mod create;
pub mod export;
pub mod invitations;
pub mod members;
mod ownership;
pub mod deletion;
pub mod store;
pub mod orphans;
