//! A workspace's members and invitations.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::{InvitationId, UserId, WorkspaceId};
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{self, RoleView, csrf, form_error, heading};
use crate::web::shared::pages::{format, icons};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    pub workspace: WorkspaceId,
    /// Owners first.
    pub members: Vec<MemberView>,
    /// Open invitations; shown only to owners.
    pub invitations: Vec<InvitationView>,
    /// Submitting the form for invitations again with the same key creates no second invitation.
    pub request_id: String,
    /// The invitation just created. Only its creator's session can show its link, because only its
    /// hash is stored.
    pub new_invitation: Option<NewInvitation>,
    /// Whether the viewer is an owner.
    pub owner: bool,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    pub id: UserId,
    pub name: String,
    /// As reported by the identity provider.
    pub email: Option<String>,
    /// Whether the identity provider has verified the address.
    pub email_verified: bool,
    pub role: RoleView,
    pub joined_at: Timestamp,
    /// Whether this is the viewer.
    pub you: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationView {
    pub id: InvitationId,
    pub role: RoleView,
    /// `None` if the inviter's account was deleted.
    pub created_by: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    pub url: String,
    pub role: RoleView,
    pub expires_at: Timestamp,
}

pub fn page(context: &PageContext, view: &MembersPage) -> Markup {
    let base = format!("/w/{}/members", view.workspace);
    Layout::new(context, "Members")
        .section(Section::Members)
        .render(&html! {
            (heading("Members", Some(html! { "Members can see all documents and shared conversations in this workspace." }), None))
            (form_error(view.error.as_deref()))
            @if let Some(invitation) = &view.new_invitation { (new_invitation_card(invitation)) }
            @if view.owner { (invite(context, &view.request_id, &base)) }
            section aria-labelledby="members" {
                div.list-head { h2 #members { "Members" } p.hint { (format::count(view.members.len() as u64, "member", "members")) } }
                ul.rows { @for member in &view.members { (member_row(context, view, member, &base)) } }
            }
            @if view.owner { (open_invitations(context, view, &base)) }
            (leave(context, view, &base))
        })
}

fn new_invitation_card(invitation: &NewInvitation) -> Markup {
    html! {
        section.card.stack.fresh role="status" {
            h2 { "Your invitation link is ready" }
            p { "Send this link to the person you want to invite. They\u{2019}ll join as " strong { (invitation.role.label_with_article()) } ". The link works once and expires on "
                (format::date_time(invitation.expires_at)) ". Copy it now: you won\u{2019}t be able to see it again." }
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

fn invite(context: &PageContext, request_id: &str, base: &str) -> Markup {
    html! {
        section.card.stack {
            h2 { "Invite member" }
            form.inline-form method="post" action={ (base) "/invitations" } data-once {
                (csrf(&context.csrf))
                input type="hidden" name="request_id" value=(request_id);
                div.field.grow {
                    label for="role" { "Role" }
                    select #role name="role" {
                        option value=(RoleView::Member.value()) selected { "Member: can manage documents and ask questions" }
                        option value=(RoleView::Owner.value()) { "Owner: can also manage members and settings, and delete the workspace" }
                    }
                }
                button.button type="submit" { (icons::LINK) "Create invitation link" }
            }
        }
    }
}

fn member_row(
    context: &PageContext,
    view: &MembersPage,
    member: &MemberView,
    base: &str,
) -> Markup {
    let other = match member.role {
        RoleView::Owner => RoleView::Member,
        RoleView::Member => RoleView::Owner,
    };
    let items = html! {
        form method="post" action={ (base) "/" (member.id) "/role" } data-once {
            (csrf(&context.csrf))
            input type="hidden" name="role" value=(other.value());
            button.menu-item type="submit" { (icons::MEMBERS) span { "Make " (other.label().to_lowercase()) } }
        }
        (parts::ConfirmedButton {
            action: &format!("{base}/{}/remove", member.id),
            csrf: &context.csrf,
            class: "menu-item danger separate",
            label: html! { (icons::TRASH) span { "Remove from workspace" } },
            question: &format!("Remove {}?", member.name),
            consequences: "They\u{2019}ll lose access right away. Documents they uploaded and conversations they shared stay in the workspace. Their private conversations are deleted after 30 days, unless they come back. To come back, they need a new invitation.",
            confirm: "Remove member",
        })
    };
    html! {
        li.row {
            span.avatar aria-hidden="true" { (crate::web::shared::pages::layout::initial(&member.name)) }
            div.row-main {
                p.row-title { bdi { (member.name) } @if member.you { span.you { "you" } } }
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
                div.list-head { h2 #invitations { "Pending invitations" } p.hint { "Each link works for one person." } }
                ul.rows {
                    @for invitation in &view.invitations {
                        li.row {
                            span.row-icon { (icons::LINK) }
                            div.row-main {
                                p.row-title { "Invitation to join as " (invitation.role.label_with_article()) }
                                p.row-meta {
                                    span { "created " (format::time(invitation.created_at, context.now)) @if let Some(name) = &invitation.created_by { " by " (name) } }
                                    span { "expires " (format::date_time(invitation.expires_at)) }
                                }
                            }
                            div.row-actions {
                                (parts::ConfirmedButton {
                                    action: &format!("{base}/invitations/{}/revoke", invitation.id),
                                    csrf: &context.csrf,
                                    class: "button small",
                                    label: html! { "Revoke" },
                                    question: "Revoke invitation?",
                                    consequences: "The link will stop working. You can create a new one at any time.",
                                    confirm: "Revoke invitation",
                                })
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
        .filter(|member| member.role == RoleView::Owner)
        .count();
    let only_owner = view.owner && owners <= 1;
    html! {
        section.card.stack.danger-zone {
            h2 { "Leave workspace" }
            @if only_owner {
                p { "You\u{2019}re the only owner. Make another member an owner first, or "
                    a href={ "/w/" (view.workspace) "/settings#delete" } { "delete the workspace" } "." }
            } @else {
                p { "You\u{2019}ll lose access right away. Documents you uploaded and conversations you shared stay in the workspace. Your private conversations are deleted after 30 days, unless you come back." }
                div.form-actions { (parts::ConfirmedButton {
                    action: &format!("{base}/leave"),
                    csrf: &context.csrf,
                    class: "button danger",
                    label: html! { "Leave workspace" },
                    question: "Leave workspace?",
                    consequences: "You\u{2019}ll lose access right away. To come back, you need a new invitation.",
                    confirm: "Leave workspace",
                }) }
            }
        }
    }
}
