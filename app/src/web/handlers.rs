//! What answers each address. Handlers stay thin: extractor, domain function, page. Each area has a file, and says its routes there.

mod account;
mod chat;
mod documents;
mod export;
mod home;
mod invitations;
mod members;
mod provisioning;
pub(in crate::web) mod removal;
mod roles;
mod sign_in;
mod unavailable;
mod workspaces;

use super::router::Route;

/// All routes, area by area.
pub(super) fn routes() -> Vec<Route> {
    let areas = [
        home::routes(),
        sign_in::routes(),
        account::routes(),
        documents::routes(),
        chat::routes(),
        workspaces::routes(),
        provisioning::routes(),
        members::routes(),
        invitations::routes(),
        removal::routes(),
        export::routes(),
    ];
    areas.into_iter().flatten().collect()
}
