//! From an uploaded file to text that can be searched.
//!
//! [`queue`] keeps the jobs. [`Ingest`] reads one document: fetch -> extract (in a child process) -> chunk -> embed -> store, each step
//! told to whoever watches. Every effect can be repeated: vectors are kept as drafts as soon as they are made, chunks have
//! ids made of what they are, and all rows of a document change in one transaction. So a job that ran twice, or died anywhere and
//! ran again, leaves the same rows and pays for no vector twice.
//!
//! A worker that was taken for dead may still be at it. Two things keep it harmless: the row's claim (what it writes about a
//! document that another works on is refused), and a lock on the document in the tenant's database, under which it is looked at again
//! whether the document is still wanted: removal takes the same lock.
//!
//! What it costs: pages and chunks of a document are held at once, its file and its vectors never are. R's reference manual (6.5 MB, 2,415
//! pages, 9,497 chunks, vectors of 1,536 dimensions) adds some 75 MB to the worker's memory, beside the child's own limit.
//!
//! Text passes through here and is never logged: ids only.

mod claim;
mod embed;
mod extract;
mod ingest;
mod reembed;
mod remove;
mod rename;
mod store;
mod sweep;
mod vectors;
pub mod wanted_model;
mod workshop;

pub use ingest::{ATTEMPTS_MAX, Ingest};
pub use reembed::{Reembed, VECTORS_KEPT_AFTER_FLIP};
pub use remove::{RemoveDocument, RemoveStrayFile};
pub use rename::RenameDocument;
pub use sweep::{Sweep, SweepState};
pub use vectors::{Embedders, Embeds, VectorsError};
pub use workshop::{Checkpoint, Checkpoints, Lease, TenantDatabases, Workshop};

use crate::config;

/// The jobs of this folder, to be done with `workshop`.
pub fn jobs(
    workshop: &Workshop,
    sessions: config::Sessions,
    registry: jobs::Registry,
) -> jobs::Registry {
    let sweep = SweepState {
        workshop: workshop.clone(),
        sessions,
    };
    registry
        .with::<Ingest>(workshop.clone())
        .with::<RemoveDocument>(workshop.clone())
        .with::<RemoveStrayFile>(workshop.clone())
        .with::<RenameDocument>(workshop.clone())
        .with::<Reembed>(workshop.clone())
        .with_every_minute::<Sweep>(sweep, Sweep::KEY)
}
