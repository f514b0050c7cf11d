//! Signing in and out, and the user's account.

mod account;
mod deletion;
pub mod pages;
mod sign_in;

use super::shared::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let mut routes = sign_in::routes();
    routes.extend(account::routes());
    routes.extend(deletion::routes());
    routes
}
