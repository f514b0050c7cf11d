//! What all requests share.

pub mod app;
pub mod assets;
pub mod client_address;
pub mod cookies;
pub mod error;
pub mod extract;
pub mod middleware;
pub mod pages;
pub mod rate_limit;
pub mod receipts;
pub mod route;
pub mod security;
pub mod streams;
pub mod unavailable;

pub use app::App;
pub use error::Problem;
