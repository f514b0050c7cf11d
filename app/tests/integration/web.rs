//! The web layer: sessions, CSRF, rate limits, access to every route, OpenID sign-in.

mod databases;
mod deletions;
mod events;
mod exports;
mod forgery;
mod invitations;
mod issuer;
mod limits;
mod matrix;
mod migrations;
mod oidc;
mod problems;
mod sessions;
mod sign_up;
mod site;
mod site_files;
