//! A workspace's name, facts, export and removal.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{TypedConfirmation, csrf, form_trouble, heading};
use crate::web::shared::pages::{format, icons};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsPage {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where its database is, once that is known.
    pub region: Option<String>,
    /// What kind of database it has.
    pub class_name: String,
    /// The Tenant that stands for it in the cluster.
    pub tenant: String,
    /// Its schema, once that is known.
    pub schema: Option<i64>,
    /// How long the database took to come up, if it was measured.
    pub ready_ms: Option<u64>,
    /// Whose vectors serve questions; none before the first document.
    pub embedding_model: Option<String>,
    /// Whether the person may change and remove it.
    pub owner: bool,
    /// What went wrong with the new name.
    pub name_trouble: Option<String>,
    /// What went wrong with the removal, such as a name typed wrongly.
    pub remove_trouble: Option<String>,
}

/// The page.
pub fn page(context: &PageContext, view: &SettingsPage) -> Markup {
    let base = format!("/w/{}", view.workspace);
    Layout::new(context, "Settings")
        .section(Section::Settings)
        .render(&html! {
            (heading("Settings", None, None))
            @if view.owner { (rename(context, view, &base)) }
            (database(view))
            section.card.stack {
                h2 { "Export" }
                p { "One archive with every PDF, the text that was read from it, all conversations, and a manifest. It is put together while you download." }
                div.form-actions { a.button href={ (base) "/export" } download { (icons::DOWNLOAD) "Export this workspace" } }
            }
            @if view.owner {
                section.card.stack.danger-zone #remove {
                    h2 { "Remove workspace" }
                    p { "Every document, conversation and the database itself go, for all members. You get a receipt that says what was removed, and until when "
                        "the database could still be recovered by whoever runs this service." }
                    (TypedConfirmation {
                        id: "confirm-remove",
                        action: &format!("{base}/settings/remove"),
                        csrf: &context.csrf,
                        word: &view.name,
                        trouble: view.remove_trouble.as_deref(),
                        button: "Remove workspace",
                    })
                }
            } @else {
                p.hint { "Owners can rename and remove the workspace. Under " a href={ (base) "/members" } { "Members" } " you can leave it." }
            }
        })
}

fn rename(context: &PageContext, view: &SettingsPage, base: &str) -> Markup {
    html! {
        section.card.stack {
            h2 { "Name" }
            (form_trouble(view.name_trouble.as_deref()))
            form.inline-form method="post" action={ (base) "/settings/name" } data-once {
                (csrf(&context.csrf))
                div.field.grow {
                    label.visually-hidden for="name" { "Name of the workspace" }
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
                div { dt { "Region" } dd { (view.region.as_deref().unwrap_or("not known yet")) } }
                div { dt { "Class" } dd { (view.class_name) } }
                @if let Some(schema) = view.schema { div { dt { "Schema" } dd { (schema) } } }
                @if let Some(ms) = view.ready_ms { div { dt { "Came up in" } dd { (format::seconds(ms)) } } }
                div { dt { "Made" } dd { (format::day(view.created_at)) } }
                @if let Some(model) = &view.embedding_model { div { dt { "Embeddings" } dd { (model) } } }
                div { dt { "Tenant" } dd { code { (view.tenant) } } }
            }
            p { a href={ "/w/" (view.workspace) "/provisioning" } { "How the database is" } }
        }
    }
}
