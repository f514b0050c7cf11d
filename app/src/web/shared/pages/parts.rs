//! Elements shared by several pages.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::icons::{self, Icon};
use crate::ids::WorkspaceId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleView {
    Owner,
    Member,
}

impl RoleView {
    /// The role as shown to users.
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Member => "Member",
        }
    }

    /// For example `an owner`.
    pub fn label_with_article(self) -> &'static str {
        match self {
            Self::Owner => "an owner",
            Self::Member => "a member",
        }
    }

    /// The role as submitted by forms.
    pub fn value(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

impl From<crate::domain::Role> for RoleView {
    fn from(role: crate::domain::Role) -> Self {
        match role {
            crate::domain::Role::Owner => Self::Owner,
            crate::domain::Role::Member => Self::Member,
        }
    }
}

/// An option of a form field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectOption {
    pub value: String,
    pub label: String,
    pub note: Option<String>,
    pub chosen: bool,
}

/// What fragments need to build links, forms and relative times.
#[derive(Debug, Clone, Copy)]
pub struct FormContext<'a> {
    pub workspace: &'a WorkspaceId,
    /// The CSRF token of the session.
    pub csrf: &'a str,
    /// The current time, for relative times.
    pub now: Timestamp,
}

/// The token that every form sends back.
pub(in crate::web) fn csrf(token: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(token); }
}

/// Page heading with an optional introduction and actions.
pub(in crate::web) fn heading(
    title: &str,
    lead: Option<Markup>,
    actions: Option<Markup>,
) -> Markup {
    html! {
        header.page-head {
            div {
                h1 { (title) }
                @if let Some(lead) = lead { p.lead { (lead) } }
            }
            @if let Some(actions) = actions { div.page-actions { (actions) } }
        }
    }
}

/// Severity of a [`callout`] or badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Severity {
    Neutral,
    Good,
    Warning,
    Bad,
}

impl Severity {
    pub(in crate::web) fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Neutral => icons::CLOCK,
            Self::Good => icons::CHECK,
            Self::Warning | Self::Bad => icons::WARNING,
        }
    }
}

pub(in crate::web) fn callout(severity: Severity, title: &str, text: &Markup) -> Markup {
    html! {
        div.callout.(severity.class()) {
            (severity.icon())
            div {
                p.callout-title { (title) }
                (text)
            }
        }
    }
}

/// An error message above a form, announced immediately by screen readers.
pub(in crate::web) fn form_error(error: Option<&str>) -> Markup {
    html! {
        @if let Some(message) = error {
            div.callout.bad role="alert" {
                (icons::WARNING)
                p { (message) }
            }
        }
    }
}

/// An empty state with an optional action.
pub(in crate::web) fn empty(icon: Icon, title: &str, text: &str, action: Option<Markup>) -> Markup {
    html! {
        div.empty {
            span.empty-icon { (icon) }
            h2 { (title) }
            p { (text) }
            @if let Some(action) = action { div.empty-action { (action) } }
        }
    }
}

pub(in crate::web) fn badge(severity: Severity, label: &str) -> Markup {
    html! { span.badge.(severity.class()) { (label) } }
}

/// A menu behind a button with three dots. `subject` names its object for screen readers.
pub(in crate::web) fn menu(id: &str, subject: &str, items: &Markup) -> Markup {
    html! {
        details.menu data-menu {
            summary.icon-button id=(id) aria-label={ "Actions for " (subject) } title="Actions" { (icons::MORE) }
            div.menu-items { (items) }
        }
    }
}

/// A form that consists of one button.
pub(in crate::web) fn button_form(
    action: &str,
    token: &str,
    class: &str,
    label: impl Render,
) -> Markup {
    html! {
        form method="post" action=(action) data-once {
            (csrf(token))
            button type="submit" class=(class) { (label) }
        }
    }
}

/// A button for an action that removes something. It opens a dialog that asks the question and
/// contains the form, so the question is asked even if scripts do not run. The focus is on the button
/// that changes nothing.
pub(in crate::web) struct ConfirmedButton<'a> {
    pub(in crate::web) action: &'a str,
    pub(in crate::web) csrf: &'a str,
    pub(in crate::web) class: &'a str,
    pub(in crate::web) label: Markup,
    /// Such as `Delete conversation?`.
    pub(in crate::web) question: &'a str,
    /// What is lost, and whether it can be undone.
    pub(in crate::web) consequences: &'a str,
    /// The label of the button that confirms.
    pub(in crate::web) confirm: &'a str,
}

impl Render for ConfirmedButton<'_> {
    fn render(&self) -> Markup {
        // Each action has one button on a page.
        let id = format!("confirm{}", self.action.replace('/', "-"));
        let (question, consequences) = (format!("{id}-question"), format!("{id}-text"));
        html! {
            button type="button" class=(self.class) command="show-modal" commandfor=(id) { (self.label) }
            dialog id=(id) role="alertdialog" aria-labelledby=(question) aria-describedby=(consequences) {
                form.stack method="post" action=(self.action) data-once {
                    (csrf(self.csrf))
                    h2 id=(question) { (self.question) }
                    p id=(consequences) { (self.consequences) }
                    div.form-actions {
                        button.button.danger type="submit" { (self.confirm) }
                        button.button.quiet type="button" command="close" commandfor=(id) autofocus { "Cancel" }
                    }
                }
            }
        }
    }
}

/// A destructive action that the user confirms by typing a text.
pub(in crate::web) struct TypedConfirmation<'a> {
    /// Id of the input, unique on the page.
    pub(in crate::web) id: &'a str,
    pub(in crate::web) action: &'a str,
    pub(in crate::web) csrf: &'a str,
    /// The text to type.
    pub(in crate::web) word: &'a str,
    /// Name and value of a hidden field.
    pub(in crate::web) hidden: Option<(&'a str, &'a str)>,
    pub(in crate::web) error: Option<&'a str>,
    pub(in crate::web) button: &'a str,
}

impl Render for TypedConfirmation<'_> {
    fn render(&self) -> Markup {
        html! {
            form.stack method="post" action=(self.action) data-once {
                (csrf(self.csrf))
                @if let Some((name, value)) = self.hidden { input type="hidden" name=(name) value=(value); }
                (form_error(self.error))
                div.field {
                    label for=(self.id) { "Type " strong.typed { (self.word) } " to confirm" }
                    input type="text" id=(self.id) name="confirm" required autocomplete="off" autocapitalize="none" spellcheck="false"
                        data-confirm=(self.word);
                }
                div.form-actions { button.button.danger type="submit" { (self.button) } }
            }
        }
    }
}
