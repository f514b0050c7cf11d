//! All pages with sample content: typical, long and hostile.

use app::ids::WorkspaceId;
use app::web::shared::pages::{PageContext, PersonView, RoleView, Theme, WorkspaceLink};
use jiff::{SignedDuration, Timestamp};
use maud::Markup;
use uuid::Uuid;

mod chats;
mod entry;
mod files;
mod members;
mod states;

/// Text that tries to break out of HTML.
pub(crate) const HOSTILE: &str =
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onmouseover='alert(3)";

/// All pages, by name.
pub(crate) fn all() -> Vec<(&'static str, Markup)> {
    let mut pages = entry::entry();
    pages.extend(entry::invitations());
    pages.extend(states::provisioning_pages());
    pages.extend(files::pages());
    pages.extend(chats::pages());
    pages.extend(members::members());
    pages.extend(members::settings_and_account());
    pages.extend(states::deletions());
    pages.extend(states::problems());
    pages
}

/// The current time in all samples.
fn now() -> Timestamp {
    Timestamp::from_second(1_795_432_800).unwrap_or_default()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn ahead(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x1f2e_3d4c_5b6a_7988_0000_0000_0000_0000 + number)
}

/// The workspace of all samples.
fn workspace() -> WorkspaceId {
    workspace_id("k3v9x2m7q0za")
}

/// A workspace that is only in the menu.
fn other_workspace() -> WorkspaceId {
    workspace_id("p8d1f5h2j6wc")
}

fn workspace_id(id: &str) -> WorkspaceId {
    id.parse().unwrap_or_else(|_| WorkspaceId::random())
}

fn link(name: &str, role: RoleView) -> WorkspaceLink {
    WorkspaceLink {
        id: workspace(),
        name: name.to_owned(),
        role,
    }
}

fn anonymous() -> PageContext {
    PageContext::anonymous(Theme::Device, "sample-token".to_owned(), now())
}

fn signed_in() -> PageContext {
    PageContext {
        user: Some(PersonView {
            name: "Mira Halvorsen".to_owned(),
            email: Some("mira@halvorsen.example".to_owned()),
        }),
        workspaces: vec![
            link("House purchase", RoleView::Owner),
            WorkspaceLink {
                id: other_workspace(),
                name: "Reading group on the philosophy of physics".to_owned(),
                role: RoleView::Member,
            },
        ],
        ..anonymous()
    }
}

fn inside() -> PageContext {
    PageContext {
        workspace: Some(link("House purchase", RoleView::Owner)),
        ..signed_in()
    }
}

fn hostile_inside() -> PageContext {
    PageContext {
        user: Some(PersonView {
            name: HOSTILE.to_owned(),
            email: Some(HOSTILE.to_owned()),
        }),
        csrf: HOSTILE.to_owned(),
        workspace: Some(link(HOSTILE, RoleView::Owner)),
        workspaces: vec![link(HOSTILE, RoleView::Owner)],
        ..anonymous()
    }
}
