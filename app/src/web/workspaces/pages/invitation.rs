//! An invitation as its recipient sees it.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::identity::return_to::ReturnTo;
use crate::ids::WorkspaceId;
use crate::web::shared::pages::format;
use crate::web::shared::pages::icons;
use crate::web::shared::pages::layout::{Layout, PageContext, initial};
use crate::web::shared::pages::parts::{RoleView, csrf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationPage {
    /// The secret token in the link. The form posts to the same URL.
    pub token: String,
    pub state: InvitationState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationState {
    Open {
        workspace: String,
        /// `None` if the inviter's account was deleted.
        invited_by: Option<String>,
        role: RoleView,
        expires_at: Timestamp,
    },
    /// The viewer is already a member.
    AlreadyMember {
        workspace: WorkspaceId,
        name: String,
        /// Whether the viewer joined with this invitation.
        is_used: bool,
    },
    /// Used, revoked, expired or never valid. The page does not say which.
    Closed,
}

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
                            @if let Some(name) = invited_by { strong { (name) } " invited you" } @else { "You\u{2019}ve been invited" }
                            " to join as " strong { (role.label_with_article()) } ". You\u{2019}ll see all documents and shared conversations in this workspace. Its members will see your name and email address."
                        }
                        @if context.user.is_some() {
                            form.stack method="post" action=(path) data-once {
                                (csrf(&context.csrf))
                                button.button.primary.wide type="submit" { "Join workspace" }
                                a.button.quiet.wide href="/" { "Not now" }
                            }
                        } @else {
                            a.button.primary.wide href=(ReturnTo::new(&path).sign_in_path()) { "Sign in to join" }
                        }
                        p.hint { "Valid until " (format::date_time(*expires_at)) ", for one person." }
                    },
                    InvitationState::AlreadyMember { workspace, name, is_used } => {
                        span.workspace-mark.large aria-hidden="true" { (initial(name)) }
                        h1 { "You\u{2019}re already a member" }
                        p.lead {
                            @if *is_used { "You joined " strong { (name) } " with this invitation." }
                            @else { "This invitation is for " strong { (name) } ". It hasn\u{2019}t been used, so someone else can still accept it." }
                        }
                        a.button.primary.wide href={ "/w/" (workspace) } { "Open workspace" }
                    },
                    InvitationState::Closed => {
                        span.sign-in-mark { (icons::LINK) }
                        h1 { "This invitation is no longer valid" }
                        p.lead { "It may have expired, been revoked, or already been used. Ask the person who sent it for a new link." }
                        @if context.user.is_some() {
                            a.button.wide href="/" { "Go to your documents" }
                        } @else {
                            p { "Already joined with this link? Sign in to open the workspace." }
                            a.button.primary.wide href=(ReturnTo::new(&path).sign_in_path()) { "Sign in" }
                            a.button.wide href="/" { "Go to home page" }
                        }
                    },
                }
            }
        })
}
