//! Typed client of the Neon management API, version 2.
//!
//! [`ids`] and [`model`] are the wire format: what the API sends and accepts, as values that were checked once when they
//! were read. [`Neon`] is the client of one account; it makes calls that wait for their turn in the account's quota, have a
//! deadline, and are sent again only where that is safe. Nothing here knows Kubernetes or SQL.
//!
//! Two things it must never do: send a request again whose effect is unknown and not idempotent, and show a secret.
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

pub mod ids;
pub mod model;

mod account;
mod branches;
mod call;
mod client;
mod consumption;
mod databases;
mod endpoints;
mod error;
mod observer;
mod operations;
mod pages;
mod projects;
mod quota;
mod retry;
mod roles;
mod route;
mod transport;

pub use account::{Organizations, Regions, Users};
pub use branches::{BRANCHES_PER_PAGE_MAX, BranchOrder, Branches, Direction, ListBranches};
pub use call::Call;
pub use client::{BASE_URL, BuildError, CALL_DEADLINE, Neon, NeonBuilder, QUEUE_DEADLINE};
pub use consumption::{
    CONSUMPTION_BRANCHES_PER_PAGE_MAX, CONSUMPTION_PROJECTS_PER_PAGE_MAX, Consumption,
    ConsumptionQuery, ListBranchConsumption, ListProjectConsumption,
};
pub use databases::Databases;
pub use endpoints::Endpoints;
pub use error::{Error, ErrorKind};
pub use observer::{NoObserver, Observer, Outcome};
pub use operations::{
    LOOK_INTERVAL, ListOperations, OPERATIONS_DEADLINE, Operations, WaitError, WaitForOperations,
};
pub use projects::{
    ConnectionUriCall, CreateProjectCall, ListProjects, Listing, PROJECTS_PER_PAGE_MAX, Projects,
};
pub use quota::{AccountQuota, Permit, Priority};
pub use roles::Roles;
pub use route::Route;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
