//! What holds for every page, tried on every page of the gallery: nothing that the Content-Security-Policy would refuse, forms that
//! cannot be forged, fields that say what they are, and names that stay names.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod elements;
mod fragments;
mod rules;
#[path = "../../examples/gallery"]
mod gallery {
    pub(crate) mod samples;
}
use gallery::samples;
