//! The pages of this area.

pub mod account;
pub mod sign_in;
