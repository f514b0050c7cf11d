//! Workspaces: creating, provisioning, settings, members, invitations, export and deletion.

mod deletion;
mod export;
mod invitations;
mod members;
pub mod pages;
mod provisioning;
mod receipt;
mod settings;

use super::shared::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let parts = [
        settings::routes(),
        provisioning::routes(),
        members::routes(),
        invitations::routes(),
        deletion::routes(),
        receipt::routes(),
        export::routes(),
    ];
    parts.into_iter().flatten().collect()
}
