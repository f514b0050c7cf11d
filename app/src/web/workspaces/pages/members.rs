//! Who belongs to a workspace, and how others come in.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::{InvitationId, UserId, WorkspaceId};
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{self, Role, csrf, form_trouble, heading};
use crate::web::shared::pages::{format, icons};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Everybody, owners first.
    pub members: Vec<MemberView>,
    /// Links that still let somebody in; only owners see them.
    pub invitations: Vec<InvitationView>,
    /// The link that was just made. It is shown this once: only its hash is kept.
    pub new_invitation: Option<NewInvitation>,
    /// Whether the person may invite, change and remove.
    pub owner: bool,
    /// What went wrong with a form, and what to do.
    pub trouble: Option<String>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Stands in the forms' URLs.
    pub id: UserId,
    /// As they are called.
    pub name: String,
    /// As their sign-in provider said it.
    pub email: Option<String>,
    /// Whether the provider vouched for the address.
    pub email_verified: bool,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// Whether it is the person who looks.
    pub you: bool,
}

/// An invitation that is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationView {
    /// Stands in the forms' URLs.
    pub id: InvitationId,
    /// What whoever takes it will be.
    pub role: Role,
    /// Who made it, unless they are gone.
    pub created_by: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// An invitation just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// The whole link.
    pub url: String,
    /// What whoever takes it will be.
    pub role: Role,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// The page.
pub fn page(context: &PageContext, view: &MembersPage) -> Markup {
    let base = format!("/w/{}/members", view.workspace);
    Layout::new(context, "Members")
        .section(Section::Members)
        .render(&html! {
            (heading("Members", Some(html! { "Everybody here sees all documents and conversations of this workspace." }), None))
            (form_trouble(view.trouble.as_deref()))
            @if let Some(invitation) = &view.new_invitation { (fresh_link(invitation)) }
            @if view.owner { (invite(context, &base)) }
            section aria-labelledby="people" {
                div.list-head { h2 #people { "People" } p.hint { (format::count(view.members.len() as u64, "member", "members")) } }
                ul.rows { @for member in &view.members { (member_row(context, view, member, &base)) } }
            }
            @if view.owner { (open_invitations(context, view, &base)) }
            (leave(context, view, &base))
        })
}

fn fresh_link(invitation: &NewInvitation) -> Markup {
    html! {
        section.card.stack.fresh role="status" {
            h2 { "The invitation is ready" }
            p { "Send this link to one person. It makes them " strong { (invitation.role.label().to_lowercase()) } ", works once, and until "
                (format::date_time(invitation.expires_at)) ". It is shown only now." }
            div.inline-form {
                div.field.grow {
                    label.visually-hidden for="invitation-link" { "Invitation link" }
                    input #invitation-link type="text" value=(invitation.url) readonly data-select;
                }
                button.button.primary type="button" data-copy="invitation-link" hidden { (icons::LINK) span { "Copy link" } }
            }
        }
    }
}

fn invite(context: &PageContext, base: &str) -> Markup {
    html! {
        section.card.stack {
            h2 { "Invite somebody" }
            form.inline-form method="post" action={ (base) "/invitations" } data-once {
                (csrf(&context.csrf))
                div.field.grow {
                    label for="role" { "They will be" }
                    select #role name="role" {
                        option value=(Role::Member.value()) selected { "Member: documents and questions" }
                        option value=(Role::Owner.value()) { "Owner: also people, settings and removal" }
                    }
                }
                button.button type="submit" { (icons::LINK) "Make a link" }
            }
        }
    }
}

fn member_row(context: &PageContext, view: &MembersPage, member: &MemberView, base: &str) -> Markup {
    let other = match member.role {
        Role::Owner => Role::Member,
        Role::Member => Role::Owner,
    };
    let items = html! {
        form method="post" action={ (base) "/" (member.id) "/role" } data-once {
            (csrf(&context.csrf))
            input type="hidden" name="role" value=(other.value());
            button.menu-item type="submit" { (icons::MEMBERS) span { "Make " (other.label().to_lowercase()) } }
        }
        (parts::button_form(&format!("{base}/{}/remove", member.id), &context.csrf, "menu-item danger separate",
            html! { (icons::TRASH) span { "Remove from workspace" } }))
    };
    html! {
        li.row {
            span.avatar aria-hidden="true" { (crate::web::shared::pages::layout::initial(&member.name)) }
            div.row-main {
                p.row-title { (member.name) @if member.you { span.you { "you" } } }
                p.row-meta {
                    @if let Some(email) = &member.email {
                        span { (email) @if !member.email_verified { " (not verified)" } }
                    }
                    span { "joined " (format::time(member.joined_at, context.now)) }
                }
            }
            (parts::badge(parts::Severity::Neutral, member.role.label()))
            @if view.owner && !member.you { div.row-actions { (parts::menu(&format!("menu-{}", member.id), &member.name, &items)) } }
        }
    }
}

fn open_invitations(context: &PageContext, view: &MembersPage, base: &str) -> Markup {
    html! {
        @if !view.invitations.is_empty() {
            section aria-labelledby="invitations" {
                div.list-head { h2 #invitations { "Open invitations" } p.hint { "Each lets one person in." } }
                ul.rows {
                    @for invitation in &view.invitations {
                        li.row {
                            span.row-icon { (icons::LINK) }
                            div.row-main {
                                p.row-title { "Link for one " (invitation.role.label().to_lowercase()) }
                                p.row-meta {
                                    span { "made " (format::time(invitation.created_at, context.now)) @if let Some(name) = &invitation.created_by { " by " (name) } }
                                    span { "good until " (format::date_time(invitation.expires_at)) }
                                }
                            }
                            div.row-actions {
                                (parts::button_form(&format!("{base}/invitations/{}/revoke", invitation.id), &context.csrf, "button small", "Revoke"))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn leave(context: &PageContext, view: &MembersPage, base: &str) -> Markup {
    let owners = view
        .members
        .iter()
        .filter(|member| member.role == Role::Owner)
        .count();
    let only_owner = view.owner && owners <= 1;
    html! {
        section.card.stack.danger-zone {
            h2 { "Leave this workspace" }
            @if only_owner {
                p { "You are its only owner. Make somebody else an owner first, or "
                    a href={ "/w/" (view.workspace) "/settings#remove" } { "remove the workspace" } "." }
            } @else {
                p { "You lose access at once. Documents you brought and conversations you began stay with the others." }
                div.form-actions { (parts::button_form(&format!("{base}/leave"), &context.csrf, "button danger", "Leave workspace")) }
            }
        }
    }
}
