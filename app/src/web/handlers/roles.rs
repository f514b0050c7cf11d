//! Roles as pages show them.

use crate::pages;
use crate::workspaces::Role;

/// The same, in the words of the pages.
pub(super) fn shown(role: Role) -> pages::Role {
    match role {
        Role::Owner => pages::Role::Owner,
        Role::Member => pages::Role::Member,
    }
}
