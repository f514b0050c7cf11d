//! The user's account: profile, sessions and deletion.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::{SessionId, WorkspaceId};
use crate::web::shared::pages::layout::{Layout, PageContext, WorkspaceLink};
use crate::web::shared::pages::parts::{self, Severity, TypedConfirmation, heading};
use crate::web::shared::pages::{format, icons};

/// What the user has to type to delete the account.
pub const CONFIRM_WORD: &str = "delete my account";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    pub name: String,
    /// As reported by the identity provider.
    pub email: Option<String>,
    /// Whether the identity provider has verified the address.
    pub email_verified: bool,
    pub identities: Vec<IdentityView>,
    pub created_at: Timestamp,
    /// The current session first.
    pub sessions: Vec<SessionView>,
    /// Workspaces without another owner, which are deleted with the account.
    pub owned_alone: Vec<WorkspaceLink>,
    pub delete_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityView {
    pub issuer: String,
    /// The user's id at the issuer.
    pub subject: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    pub id: SessionId,
    /// The `User-Agent` header.
    pub browser: String,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// Whether the page was requested with this session.
    pub current: bool,
}

pub fn page(context: &PageContext, view: &AccountPage) -> Markup {
    Layout::new(context, "Account").render(&html! {
        (heading("Account", None, None))
        (identity(view))
        (sessions(context, view))
        (delete_account(context, view))
    })
}

fn identity(view: &AccountPage) -> Markup {
    html! {
        section.card.stack {
            div.identity {
                span.avatar.large aria-hidden="true" { (crate::web::shared::pages::layout::initial(&view.name)) }
                div {
                    h2 { (view.name) }
                    @if let Some(email) = &view.email {
                        p.identity-email {
                            (email) " "
                            @if view.email_verified { (parts::badge(Severity::Good, "Verified")) } @else { (parts::badge(Severity::Warning, "Not verified")) }
                        }
                    }
                }
            }
            @if view.email.is_some() && !view.email_verified {
                p.hint { "Your sign-in provider hasn\u{2019}t verified this address. We only show it to you and to members of your workspaces." }
            }
            dl.facts {
                div { dt { "Member since" } dd { (format::day(view.created_at)) } }
                @for identity in &view.identities {
                    div { dt { "Signs in with" } dd {
                        // Issuers are URLs, except for the demo's sign-in by name.
                        @if identity.issuer.contains("://") { (identity.issuer) } @else { "Name only (demo)" }
                    } }
                    div.grow { dt { "Account ID" } dd { code { (identity.subject) } } }
                }
            }
        }
    }
}

fn sessions(context: &PageContext, view: &AccountPage) -> Markup {
    html! {
        section aria-labelledby="sessions" {
            div.list-head {
                h2 #sessions { "Active sessions" }
                (parts::button_form("/sign-out/everywhere", &context.csrf, "button small", "Sign out everywhere"))
            }
            ul.rows {
                @for session in &view.sessions {
                    li.row {
                        span.row-icon { (icons::DISPLAY) }
                        div.row-main {
                            p.row-title title=(session.browser) { (browser_name(&session.browser)) @if session.current { span.you { "this session" } } }
                            p.row-meta {
                                span { "last active " (format::time(session.last_seen_at, context.now)) }
                                span { "signed in on " (format::day(session.created_at)) }
                            }
                        }
                        div.row-actions {
                            @if session.current {
                                (parts::button_form("/sign-out", &context.csrf, "button small", "Sign out"))
                            } @else {
                                (parts::button_form(&format!("/account/sessions/{}/end", session.id), &context.csrf, "button small", "Sign out"))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Common name of the browser and system in a `User-Agent`. The order matters: browsers further
/// down the list are also named by those above.
fn browser_name(user_agent: &str) -> String {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "Mac"),
        ("Linux", "Linux"),
    ];
    let called = |names: &[(&str, &'static str)]| {
        names
            .iter()
            .find(|(mark, _)| user_agent.contains(mark))
            .map(|(_, name)| *name)
    };
    match (called(&BROWSERS), called(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) if user_agent.trim().is_empty() => "Unknown browser".to_owned(),
        (None, None) => user_agent.to_owned(),
    }
}

fn delete_account(context: &PageContext, view: &AccountPage) -> Markup {
    html! {
        section.card.stack.danger-zone #delete {
            h2 { "Delete account" }
            p { "This signs you out everywhere, removes you from all workspaces and deletes your personal data and private conversations. "
                "Documents you uploaded and conversations you shared stay in workspaces that have another owner. You\u{2019}ll get a receipt." }
            @if !view.owned_alone.is_empty() {
                p { "You\u{2019}re the only owner of these workspaces. They\u{2019}ll be deleted too, with all documents and conversations:" }
                ul.plain {
                    @for workspace in &view.owned_alone { li { a href={ "/w/" (workspace.id) "/settings" } { (workspace.name) } } }
                }
            }
            (TypedConfirmation {
                id: "confirm-delete",
                action: "/account/delete",
                csrf: &context.csrf,
                word: CONFIRM_WORD,
                hidden: Some(("workspaces", &format_workspaces(&view.owned_alone))),
                error: view.delete_error.as_deref(),
                button: "Delete account",
            })
        }
    }
}

/// The workspaces that the page lists, as the form returns them.
fn format_workspaces(workspaces: &[WorkspaceLink]) -> String {
    let ids: Vec<String> = workspaces
        .iter()
        .map(|workspace| workspace.id.to_string())
        .collect();
    ids.join(",")
}

/// Parses the form's list of workspaces. Invalid ids are skipped.
pub fn parse_workspaces(ids: &str) -> Vec<WorkspaceId> {
    ids.split(',').filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_shown_by_their_common_name() {
        for (user_agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Android 16; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
                "Firefox on Android",
            ),
            ("curl/8.9.1", "curl/8.9.1"),
            ("", "Unknown browser"),
        ] {
            assert_eq!(browser_name(user_agent), name);
        }
    }
}
