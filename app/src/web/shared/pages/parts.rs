//! Pieces that several pages share.

use maud::{Markup, Render, html};

use super::icons::{self, Icon};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, people and removal included.
    Owner,
    /// Documents and questions.
    Member,
}

impl Role {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Member => "Member",
        }
    }

    /// As forms send it.
    pub fn value(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

impl From<crate::domain::Role> for Role {
    fn from(role: crate::domain::Role) -> Self {
        match role {
            crate::domain::Role::Owner => Self::Owner,
            crate::domain::Role::Member => Self::Member,
        }
    }
}

/// One of several values that a form offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// What people read.
    pub label: String,
    /// A line below it, if there is more to say.
    pub note: Option<String>,
    /// Whether it is chosen to begin with.
    pub chosen: bool,
}

/// The token that every form sends back.
pub(in crate::web) fn csrf(token: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(token); }
}

/// The heading of a page: its name, a line that says what it is for, and what can be done at once.
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

/// How a [`callout`] is meant.
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

/// Something to be noticed within a page.
pub(in crate::web) fn callout(tone: Severity, title: &str, text: &Markup) -> Markup {
    html! {
        div.callout.(tone.class()) {
            (tone.icon())
            div {
                p.callout-title { (title) }
                (text)
            }
        }
    }
}

/// What is wrong with a form, said above it; read out at once.
pub(in crate::web) fn form_trouble(trouble: Option<&str>) -> Markup {
    html! {
        @if let Some(words) = trouble {
            div.callout.bad role="alert" {
                (icons::WARNING)
                p { (words) }
            }
        }
    }
}

/// A place with nothing in it yet, and what to do about it.
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

/// A state in a word or two.
pub(in crate::web) fn badge(tone: Severity, label: &str) -> Markup {
    html! { span.badge.(tone.class()) { (label) } }
}

/// A menu behind a button with three dots; `subject` says whose, for those who hear it.
pub(in crate::web) fn menu(id: &str, subject: &str, items: &Markup) -> Markup {
    html! {
        details.menu data-menu {
            summary.icon-button id=(id) aria-label={ "More for " (subject) } title="More" { (icons::MORE) }
            div.menu-items { (items) }
        }
    }
}

/// A form that is one button.
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

/// A removal that has to be confirmed by typing a name.
pub(in crate::web) struct TypedConfirmation<'a> {
    /// Distinguishes the fields of several on one page.
    pub(in crate::web) id: &'a str,
    pub(in crate::web) action: &'a str,
    pub(in crate::web) csrf: &'a str,
    /// What has to be typed.
    pub(in crate::web) word: &'a str,
    /// What went wrong with the last attempt.
    pub(in crate::web) trouble: Option<&'a str>,
    pub(in crate::web) button: &'a str,
}

impl Render for TypedConfirmation<'_> {
    fn render(&self) -> Markup {
        html! {
            form.stack method="post" action=(self.action) data-once {
                (csrf(self.csrf))
                (form_trouble(self.trouble))
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
