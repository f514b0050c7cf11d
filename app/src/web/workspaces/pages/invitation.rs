//! An invitation, as whoever follows its link sees it.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::identity::return_to::ReturnTo;
use crate::ids::WorkspaceId;
use crate::web::shared::pages::format;
use crate::web::shared::pages::icons;
use crate::web::shared::pages::layout::{PageContext, Layout, initial};
use crate::web::shared::pages::parts::{Role, csrf};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationPage {
    /// The secret in the link; the form goes to the same URL.
    pub token: String,
    /// How it stands.
    pub state: InvitationState,
}

/// How an invitation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationState {
    /// It can be taken.
    Open {
        /// Into which workspace it leads.
        workspace: String,
        /// Who made it, unless they are gone.
        invited_by: Option<String>,
        /// What whoever takes it will be.
        role: Role,
        /// Until when it is good.
        expires_at: Timestamp,
    },
    /// The person is a member already.
    AlreadyMember {
        /// Of this workspace.
        workspace: WorkspaceId,
        /// Its name.
        name: String,
        /// Whether they came by this very link, which is used up by that.
        is_used: bool,
    },
    /// Used, revoked, too old, or never made: which of these is nobody's business.
    Closed,
}

/// The page.
pub fn page(context: &PageContext, view: &InvitationPage) -> Markup {
    let path = format!("/invitations/{}", view.token);
    Layout::new(context, "Invitation")
        .class("centred")
        .render(&html! {
            section.card.sign-in {
                @match &view.state {
                    InvitationState::Open { workspace, invited_by, role, expires_at } => {
                        span.workspace-mark.large aria-hidden="true" { (initial(workspace)) }
                        h1 { "Join " (workspace) }
                        p.lead {
                            @if let Some(name) = invited_by { strong { (name) } " invites you" } @else { "You are invited" }
                            " as " strong { (role.label().to_lowercase()) } ". You will see all documents and conversations of the workspace, and its members will see your name and e-mail address."
                        }
                        @if context.user.is_some() {
                            form.stack method="post" action=(path) data-once {
                                (csrf(&context.csrf))
                                button.button.primary.wide type="submit" { "Join" }
                                a.button.quiet.wide href="/" { "Not now" }
                            }
                        } @else {
                            a.button.primary.wide href=(ReturnTo::new(&path).sign_in_path()) { "Sign in to join" }
                        }
                        p.hint { "Good until " (format::date_time(*expires_at)) ", for one person." }
                    },
                    InvitationState::AlreadyMember { workspace, name, is_used } => {
                        span.workspace-mark.large aria-hidden="true" { (initial(name)) }
                        h1 { "You are already a member" }
                        p.lead {
                            @if *is_used { "You joined " strong { (name) } " with this invitation." }
                            @else { "This invitation leads to " strong { (name) } ". It is still good for somebody else." }
                        }
                        a.button.primary.wide href={ "/w/" (workspace) } { "Open the workspace" }
                    },
                    InvitationState::Closed => {
                        span.sign-in-mark { (icons::LINK) }
                        h1 { "This invitation is not good" }
                        p.lead { "It may have been used, revoked or too old. Ask whoever sent it for a new link." }
                        @if context.user.is_some() {
                            a.button.wide href="/" { "To your documents" }
                        } @else {
                            p { "If you have joined with it, sign in: it still leads you there." }
                            a.button.primary.wide href=(ReturnTo::new(&path).sign_in_path()) { "Sign in" }
                            a.button.wide href="/" { "To the front page" }
                        }
                    },
                }
            }
        })
}
