//! The sign-in page: through an OIDC provider, or by name only for a local demo.

use maud::{Markup, html};
use url::form_urlencoded;

use crate::web::shared::pages::layout::{Layout, PageContext};
use crate::web::shared::pages::parts::{csrf, form_error};
use crate::web::shared::pages::{PRODUCT, icons};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignInPage {
    /// Display name of the OIDC provider, such as `Google`.
    pub provider: Option<String>,
    /// Whether signing in by name only is enabled.
    pub local: bool,
    pub sign_up: SignUpView,
    /// Whether the provider shows its choice of accounts.
    pub choose_account: bool,
    /// Path to return to after signing in.
    pub return_to: Option<String>,
    /// The name from a rejected submission.
    pub name: String,
    pub error: Option<String>,
}

/// What a person without an account can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignUpView {
    #[default]
    Open,
    Invited,
    /// The person follows an invitation, which signing in accepts.
    Joining,
    Closed,
}

impl SignUpView {
    fn lead(self) -> &'static str {
        match self {
            Self::Open => {
                "When you sign in for the first time, we create a workspace for you with its own database."
            }
            Self::Invited => {
                "To create an account, you need an invitation. If someone sent you a link, open it and sign in from there."
            }
            Self::Joining => {
                "When you sign in for the first time, you join the workspace that you were invited to."
            }
            Self::Closed => {
                "Sign in with your existing account. New accounts can\u{2019}t be created here."
            }
        }
    }
}

pub fn page(context: &PageContext, view: &SignInPage) -> Markup {
    Layout::new(context, "Sign in")
        .class("centred")
        .render(&html! {
            section.card.sign-in {
                span.sign-in-mark { (icons::LOGO) }
                h1 { "Sign in to " (PRODUCT) }
                p.lead { (view.sign_up.lead()) }
                (form_error(view.error.as_deref()))
                @if let Some(provider) = &view.provider {
                    a.button.primary.wide href=(start_path(view)) { "Continue with " (provider) }
                }
                @if view.provider.is_some() && view.local { p.or { span { "or" } } }
                @if view.local { (local(context, view)) }
                @if view.provider.is_none() && !view.local {
                    p { "Sign-in isn\u{2019}t set up on this server. Ask your administrator to configure a sign-in provider." }
                }
            }
        })
}

/// A link rather than a form: the Content-Security-Policy's `form-action` would block the redirect
/// to the provider.
fn start_path(view: &SignInPage) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(path) = &view.return_to {
        query.append_pair("return_to", path);
    }
    if view.choose_account {
        query.append_pair("choose_account", "true");
    }
    match query.finish().as_str() {
        "" => "/sign-in/start".to_owned(),
        query => format!("/sign-in/start?{query}"),
    }
}

fn return_to(view: &SignInPage) -> Markup {
    html! {
        @if let Some(path) = &view.return_to { input type="hidden" name="return_to" value=(path); }
    }
}

fn local(context: &PageContext, view: &SignInPage) -> Markup {
    html! {
        form.stack method="post" action="/sign-in/local" data-once {
            (csrf(&context.csrf))
            (return_to(view))
            div.field {
                label for="name" { "Your name" }
                input #name type="text" name="name" value=(view.name) required maxlength="80" autocomplete="username" spellcheck="false"
                    aria-describedby="name-hint";
                p.hint #name-hint { "For local demos only. Anyone who enters a name is signed in as that person." }
            }
            button.button.wide.primary[view.provider.is_none()] type="submit" { "Sign in with name" }
        }
    }
}
