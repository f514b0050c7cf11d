//! The form for a new workspace.

use maud::{Markup, html};

use crate::web::shared::pages::layout::{Layout, PageContext};
use crate::web::shared::pages::parts::{SelectOption, csrf, form_error, heading};

/// Content of the form, which posts `request_id`, `name`, `region` and `class` to `/workspaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkspacePage {
    /// Submitting the form again with the same key creates no second workspace.
    pub request_id: String,
    /// The name from a rejected submission.
    pub name: String,
    /// Offered regions. No choice is shown if there is only one.
    pub regions: Vec<SelectOption>,
    /// Offered database sizes. No choice is shown if there is only one.
    pub classes: Vec<SelectOption>,
    pub error: Option<String>,
}

pub fn page(context: &PageContext, view: &NewWorkspacePage) -> Markup {
    Layout::new(context, "New workspace")
        .render(&html! {
            (heading("New workspace", Some(html! { "A workspace holds your documents and the people you share them with. It gets its own database." }), None))
            form.card.stack method="post" action="/workspaces" data-once {
                (csrf(&context.csrf))
                input type="hidden" name="request_id" value=(view.request_id);
                (form_error(view.error.as_deref()))
                div.field {
                    label for="name" { "Name" }
                    input #name type="text" name="name" value=(view.name) required maxlength="80" autocomplete="off" autofocus
                        placeholder="Contracts, Physics 101, House purchase\u{2026}";
                }
                (choices("region", "Region", "Where your documents and database are stored. You can\u{2019}t change this later.", &view.regions))
                (choices("class", "Size", "How large the database can grow.", &view.classes))
                div.form-actions {
                    button.button.primary type="submit" { "Create workspace" }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        })
}

fn choices(name: &str, label: &str, hint: &str, choices: &[SelectOption]) -> Markup {
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
