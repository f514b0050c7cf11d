//! The person: who they are, where they are signed in, and how they leave.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::SessionId;
use crate::web::shared::pages::layout::{PageContext, Layout, WorkspaceLink};
use crate::web::shared::pages::parts::{self, Severity, TypedConfirmation, heading};
use crate::web::shared::pages::{format, icons};

/// What has to be typed to remove an account.
pub const CONFIRM_WORD: &str = "remove my account";

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// As they are called.
    pub name: String,
    /// As their sign-in provider said it.
    pub email: Option<String>,
    /// Whether the provider vouched for the address.
    pub email_verified: bool,
    /// Who vouches for them.
    pub identities: Vec<IdentityView>,
    /// Since when the account is there.
    pub created_at: Timestamp,
    /// Where they are signed in, this session first.
    pub sessions: Vec<SessionView>,
    /// Workspaces that nobody else owns: they go with the account.
    pub owned_alone: Vec<WorkspaceLink>,
    /// What went wrong with the removal, such as a word typed wrongly.
    pub remove_trouble: Option<String>,
}

/// One way to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityView {
    /// The issuer.
    pub issuer: String,
    /// The issuer's own name for the person.
    pub subject: String,
}

/// One place where the person is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Names it in its form's URL.
    pub id: SessionId,
    /// The browser, as it names itself: the `User-Agent` of its requests.
    pub browser: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
    /// Whether it is this one.
    pub current: bool,
}

/// The page.
pub fn page(context: &PageContext, view: &AccountPage) -> Markup {
    Layout::new(context, "Account").render(&html! {
        (heading("Account", None, None))
        (identity(view))
        (sessions(context, view))
        (removal(context, view))
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
                p.hint { "Your sign-in provider does not vouch for this address. It is shown to you and your fellow members and used for nothing else." }
            }
            dl.facts {
                div { dt { "Here since" } dd { (format::day(view.created_at)) } }
                @for identity in &view.identities {
                    div { dt { "Signs in through" } dd {
                        // Issuers are URLs; the demo's sign-in by name is none.
                        @if identity.issuer.contains("://") { (identity.issuer) } @else { "their name, on this machine" }
                    } }
                    div.grow { dt { "Known there as" } dd { code { (identity.subject) } } }
                }
            }
        }
    }
}

fn sessions(context: &PageContext, view: &AccountPage) -> Markup {
    html! {
        section aria-labelledby="sessions" {
            div.list-head {
                h2 #sessions { "Where you are signed in" }
                (parts::button_form("/sign-out/everywhere", &context.csrf, "button small", "Sign out everywhere"))
            }
            ul.rows {
                @for session in &view.sessions {
                    li.row {
                        span.row-icon { (icons::DISPLAY) }
                        div.row-main {
                            p.row-title title=(session.browser) { (browser_name(&session.browser)) @if session.current { span.you { "this one" } } }
                            p.row-meta {
                                span { "last used " (format::time(session.last_seen_at, context.now)) }
                                span { "since " (format::day(session.created_at)) }
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

/// What a `User-Agent` is commonly called. The first that matches is it: later ones are named by those before, too.
fn browser_name(user_agent: &str) -> String {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "PageContext"),
        ("PageContext/", "PageContext"),
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

fn removal(context: &PageContext, view: &AccountPage) -> Markup {
    html! {
        section.card.stack.danger-zone #remove {
            h2 { "Remove account" }
            p { "Your sessions and memberships end, and what is known of you is removed. You get a receipt." }
            @if !view.owned_alone.is_empty() {
                p { "These workspaces have no other owner. They go too, each with its documents, conversations and database:" }
                ul.plain {
                    @for workspace in &view.owned_alone { li { a href={ "/w/" (workspace.id) "/settings" } { (workspace.name) } } }
                }
            }
            (TypedConfirmation {
                id: "confirm-remove",
                action: "/account/remove",
                csrf: &context.csrf,
                word: CONFIRM_WORD,
                trouble: view.remove_trouble.as_deref(),
                button: "Remove account",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_what_people_call_them() {
        for (user_agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) PageContext/142.0.0.0 Safari/537.36",
                "PageContext on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) PageContext/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
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
