//! Users, their identities and their sessions.
//!
//! An identity is the pair `(issuer, subject)`. E-mail addresses never identify a user, but the
//! settings can restrict who may sign in by verified addresses ([`sign_up`]).

pub mod local;
pub mod oidc;
pub mod return_to;
pub mod sessions;
pub mod sign_up;
pub mod token;
pub mod users;

pub use sessions::{Session, SessionRow};
pub use token::{CsrfToken, Token, TokenHash};
pub use users::User;
