//! Typed client for the Neon management API, version 2.
//!
//! [`ids`] and [`model`] are the wire format: what the API sends and accepts, parsed once into
//! checked types. [`Neon`] is the client of one account. Every call acquires a permit from the
//! account's request quota, has a timeout, and is retried only where a retry is safe.
//!
//! The client must never repeat a request whose effect is unknown and that is not idempotent, and
//! it must never reveal a secret.
//!
//! ```no_run
//! use neon_client::{Neon, model::CreateProject};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let neon = Neon::builder().api_key(std::env::var("NEON_API_KEY")?.into()).build()?;
//! let created = neon.projects().create(CreateProject::named("tenant-1")).send().await?;
//! println!("{} runs in {}", created.project.id, created.project.region_id);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod ids;
pub mod model;

mod account;
mod branches;
mod call;
mod client;
mod condition;
mod consumption;
mod databases;
mod endpoints;
mod error;
mod not_after;
mod observer;
mod operations;
mod pages;
mod projects;
mod quota;
mod retry;
mod roles;
mod route;
mod snapshots;
mod transport;

pub use account::{Organizations, Regions, Users};
pub use branches::{BranchSortKey, Branches, ListBranches, MAX_BRANCHES_PER_PAGE, SortOrder};
pub use call::Call;
pub use client::{BASE_URL, BuildError, CALL_TIMEOUT, Neon, NeonBuilder, QUEUE_TIMEOUT};
pub use condition::{NeonCondition, PUBLISHED_MESSAGES, size_limit_mib};
pub use consumption::{
    Consumption, ConsumptionQuery, ListBranchConsumption, ListProjectConsumption,
    MAX_CONSUMPTION_BRANCHES_PER_PAGE, MAX_CONSUMPTION_PROJECTS_PER_PAGE,
};
pub use databases::Databases;
pub use endpoints::Endpoints;
pub use error::{Error, ErrorKind};
pub use not_after::NotAfter;
pub use observer::{NoObserver, Observer, Outcome};
pub use operations::{
    ListOperations, OPERATIONS_TIMEOUT, Operations, POLL_INTERVAL, WaitError, WaitForOperations,
};
pub use projects::{
    ConnectionUriCall, CreateProjectCall, ListProjects, Listing, MAX_PROJECTS_PER_PAGE, Projects,
};
pub use quota::{AccountQuota, Permit, Priority};
pub use roles::Roles;
pub use route::Route;
pub use snapshots::Snapshots;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
