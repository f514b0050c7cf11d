//! The head of a conversation: its title, what it searches, who sees it, and its menu.

use maud::{Markup, html};

use super::{ChatPage, ThreadView, scope};
use crate::ask::MAX_THREAD_TITLE_CHARS;
use crate::ask::threads::UNDO_TIME;
use crate::web::shared::pages::parts::{self, csrf};
use crate::web::shared::pages::{FormContext, icons};

/// Who sees a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// Only the reader.
    Private,
    SharedByReader,
    /// The name of the author.
    SharedBy(String),
    /// All members, and this cannot be changed yet.
    NotRestricted,
}

pub(super) fn head(form_context: FormContext<'_>, view: &ChatPage, base: &str) -> Markup {
    html! {
        header.conversation-head {
            @match &view.thread {
                None => h1 { "New conversation" },
                Some(thread) => {
                    div {
                        h1 dir="auto" { (thread.title) }
                        (scope::line(form_context, &thread.scope, false))
                        (sharing(&thread.sharing))
                    }
                    (parts::menu("thread-menu", "this conversation", &menu_items(form_context, thread, base)))
                    (rename_dialog(form_context, thread, base))
                },
            }
        }
    }
}

fn sharing(sharing: &Sharing) -> Markup {
    html! {
        @match sharing {
            Sharing::Private => p.hint.sharing { (icons::LOCK) "Only you can see this conversation" },
            Sharing::SharedByReader => p.hint.sharing { (icons::MEMBERS) "Shared with all members" },
            Sharing::SharedBy(name) => p.hint.sharing { (icons::MEMBERS) span { "Shared by " bdi { (name) } } },
            Sharing::NotRestricted => {},
        }
    }
}

fn menu_items(form_context: FormContext<'_>, thread: &ThreadView, base: &str) -> Markup {
    let url = format!("{base}/{}", thread.id);
    let item = |action: &str, icon: icons::Icon, label: &str| {
        let label = html! { (icon) span { (label) } };
        parts::button_form(
            &format!("{url}/{action}"),
            form_context.csrf,
            "menu-item",
            label,
        )
    };
    let consequences = if thread.sharing == Sharing::NotRestricted {
        "All questions and answers in it will be deleted, for all members. This can\u{2019}t be undone.".to_owned()
    } else {
        format!(
            "All questions and answers in it will be deleted, for everyone who can see it. You can undo this for {} seconds.",
            UNDO_TIME.as_secs()
        )
    };
    html! {
        @match thread.sharing {
            Sharing::Private => (item("share", icons::MEMBERS, "Share with all members")),
            Sharing::SharedByReader => (item("unshare", icons::LOCK, "Make private")),
            Sharing::SharedBy(_) | Sharing::NotRestricted => {},
        }
        @if thread.sharing != Sharing::NotRestricted {
            @if thread.is_pinned { (item("unpin", icons::PIN, "Unpin conversation")) } @else { (item("pin", icons::PIN, "Pin conversation")) }
        }
        button.menu-item type="button" command="show-modal" commandfor="rename-thread" { (icons::PENCIL) span { "Rename conversation" } }
        @if thread.can_delete {
            (parts::ConfirmedButton {
                action: &format!("{url}/delete"),
                csrf: form_context.csrf,
                class: "menu-item danger",
                label: html! { (icons::TRASH) span { "Delete conversation" } },
                question: "Delete conversation?",
                consequences: &consequences,
                confirm: "Delete conversation",
            })
        }
    }
}

fn rename_dialog(form_context: FormContext<'_>, thread: &ThreadView, base: &str) -> Markup {
    html! {
        dialog #rename-thread aria-labelledby="rename-thread-question" {
            form.stack method="post" action={ (base) "/" (thread.id) "/rename" } data-once {
                h2 #rename-thread-question { "Rename conversation" }
                (csrf(form_context.csrf))
                div.field {
                    label for="thread-title" { "Title" }
                    input #thread-title type="text" name="title" value=(thread.title) dir="auto" required maxlength=(MAX_THREAD_TITLE_CHARS) autocomplete="off" autofocus;
                }
                div.form-actions {
                    button.button.primary type="submit" { "Save" }
                    button.button.quiet type="button" command="close" commandfor="rename-thread" { "Cancel" }
                }
            }
        }
    }
}
