//! The form for a new workspace.

use maud::{Markup, html};

use crate::web::shared::pages::layout::{PageContext, Layout};
use crate::web::shared::pages::parts::{Choice, csrf, form_trouble, heading};

/// What the form offers. It posts `request_id`, `name`, `region` and `class` to `/workspaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkspacePage {
    /// The form's own key: sending it twice makes one workspace.
    pub request_id: String,
    /// The name typed before, if that went wrong.
    pub name: String,
    /// Where the database may be; not asked for if there is only one place.
    pub regions: Vec<Choice>,
    /// The kinds of database; not asked for if there is only one.
    pub classes: Vec<Choice>,
    /// What went wrong, and what to do.
    pub trouble: Option<String>,
}

/// The page.
pub fn page(context: &PageContext, view: &NewWorkspacePage) -> Markup {
    Layout::new(context, "New workspace")
        .render(&html! {
            (heading("New workspace", Some(html! { "A place for documents and the people who ask them, with a database of its own." }), None))
            form.card.stack method="post" action="/workspaces" data-once {
                (csrf(&context.csrf))
                input type="hidden" name="request_id" value=(view.request_id);
                (form_trouble(view.trouble.as_deref()))
                div.field {
                    label for="name" { "Name" }
                    input #name type="text" name="name" value=(view.name) required maxlength="80" autocomplete="off" autofocus
                        placeholder="Contracts, Physics 101, House purchase\u{2026}";
                }
                (choices("region", "Region", "Documents and database stay there. It cannot be changed later.", &view.regions))
                (choices("class", "Size", "What the database may grow to.", &view.classes))
                div.form-actions {
                    button.button.primary type="submit" { "Create workspace" }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        })
}

fn choices(name: &str, label: &str, hint: &str, choices: &[Choice]) -> Markup {
    let hint_id = format!("{name}-hint");
    html! {
        @match choices {
            [] => {},
            [only] => input type="hidden" name=(name) value=(only.value);,
            several => {
                fieldset.field aria-describedby=(hint_id) {
                    legend { (label) }
                    p.hint id=(hint_id) { (hint) }
                    div.choices {
                        @for choice in several {
                            @let id = format!("{name}-{}", choice.value);
                            div.choice {
                                input type="radio" id=(id) name=(name) value=(choice.value) checked[choice.chosen] required;
                                label for=(id) {
                                    span { (choice.label) }
                                    @if let Some(note) = &choice.note { small { (note) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
