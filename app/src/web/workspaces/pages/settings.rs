//! A workspace's settings: name, database details, export and deletion.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{TypedConfirmation, csrf, form_error, heading};
use crate::web::shared::pages::{format, icons};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsPage {
    pub workspace: WorkspaceId,
    pub name: String,
    pub created_at: Timestamp,
    pub region: Option<String>,
    pub class_name: String,
    pub tenant: String,
    pub schema: Option<i64>,
    /// How long provisioning took, if measured.
    pub ready_ms: Option<u64>,
    /// `None` before the first document.
    pub embedding_model: Option<String>,
    /// Whether the viewer is an owner.
    pub owner: bool,
    pub name_error: Option<String>,
    pub delete_error: Option<String>,
}

pub fn page(context: &PageContext, view: &SettingsPage) -> Markup {
    let base = format!("/w/{}", view.workspace);
    Layout::new(context, "Settings")
        .section(Section::Settings)
        .render(&html! {
            (heading("Settings", None, None))
            @if view.owner { (rename(context, view, &base)) }
            (database(view))
            section.card.stack {
                h2 { "Export workspace" }
                p { "Download a ZIP archive with all PDFs, their extracted text and the conversations that you can see. Large workspaces can take a while." }
                div.form-actions { a.button href={ (base) "/export" } download { (icons::DOWNLOAD) "Export workspace" } }
            }
            @if view.owner {
                section.card.stack.danger-zone #delete {
                    h2 { "Delete workspace" }
                    p { "This deletes all documents and conversations and the workspace\u{2019}s database, for all members. You\u{2019}ll get a receipt that lists what was deleted and "
                        "until when an administrator can recover the database." }
                    (TypedConfirmation {
                        id: "confirm-delete",
                        action: &format!("{base}/settings/delete"),
                        csrf: &context.csrf,
                        word: &view.name,
                        hidden: None,
                        error: view.delete_error.as_deref(),
                        button: "Delete workspace",
                    })
                }
            } @else {
                p.hint { "Only owners can rename or delete this workspace. To leave it, go to " a href={ (base) "/members" } { "Members" } "." }
            }
        })
}

fn rename(context: &PageContext, view: &SettingsPage, base: &str) -> Markup {
    html! {
        section.card.stack {
            h2 { "Name" }
            (form_error(view.name_error.as_deref()))
            form.inline-form method="post" action={ (base) "/settings/name" } data-once {
                (csrf(&context.csrf))
                div.field.grow {
                    label.visually-hidden for="name" { "Workspace name" }
                    input #name type="text" name="name" value=(view.name) required maxlength="80" autocomplete="off";
                }
                button.button type="submit" { "Save" }
            }
        }
    }
}

fn database(view: &SettingsPage) -> Markup {
    html! {
        section.card.stack {
            h2 { "Database" }
            dl.facts {
                div { dt { "Region" } dd { (view.region.as_deref().unwrap_or("Not available yet")) } }
                div { dt { "Size" } dd { (view.class_name) } }
                @if let Some(schema) = view.schema { div { dt { "Schema version" } dd { (schema) } } }
                @if let Some(ms) = view.ready_ms { div { dt { "Ready in" } dd { (format::seconds(ms)) } } }
                div { dt { "Created" } dd { (format::day(view.created_at)) } }
                @if let Some(model) = &view.embedding_model { div { dt { "Embedding model" } dd { (model) } } }
                div { dt { "Support reference" } dd { code { (view.tenant) } } }
            }
            p { a href={ "/w/" (view.workspace) "/provisioning" } { "View database status" } }
        }
    }
}
