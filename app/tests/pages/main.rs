//! Rules that every page has to follow, checked on every page of the gallery, and checks of
//! fragments that handlers send.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "failed assertions should panic where they happen"
)]

mod elements;
mod fragments;
mod outline;
mod rules;
mod snapshots;
#[path = "../../examples/gallery"]
mod gallery {
    pub(crate) mod samples;
}
use gallery::samples;
