//! Signing in: through an OIDC provider, or by name alone where the operator runs the demo on their own machine.

use maud::{Markup, html};
use url::form_urlencoded;

use crate::web::shared::pages::layout::{PageContext, Layout};
use crate::web::shared::pages::parts::{csrf, form_trouble};
use crate::web::shared::pages::{PRODUCT, icons};

/// What the page offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignInPage {
    /// The OIDC provider as people know it, such as `Google`.
    pub provider: Option<String>,
    /// Whether a name is enough.
    pub local: bool,
    /// Where to go afterwards: a path of this site.
    pub return_to: Option<String>,
    /// The name typed before, if that went wrong.
    pub name: String,
    /// What went wrong, and what to do.
    pub trouble: Option<String>,
}

/// The page.
pub fn page(context: &PageContext, view: &SignInPage) -> Markup {
    Layout::new(context, "Sign in")
        .class("centred")
        .render(&html! {
            section.card.sign-in {
                span.sign-in-mark { (icons::LOGO) }
                h1 { "Sign in to " (PRODUCT) }
                p.lead { "Your first sign-in makes your workspace, with a database of its own." }
                (form_trouble(view.trouble.as_deref()))
                @if let Some(provider) = &view.provider {
                    a.button.primary.wide href=(start_path(view)) { "Continue with " (provider) }
                }
                @if view.provider.is_some() && view.local { p.or { span { "or" } } }
                @if view.local { (local(context, view)) }
                @if view.provider.is_none() && !view.local {
                    p { "Signing in is not set up on this server. Its operator has to name an OIDC provider." }
                }
            }
        })
}

/// A link and no form: the policy on forms would stop the redirect to the provider.
fn start_path(view: &SignInPage) -> String {
    match &view.return_to {
        None => "/sign-in/start".to_owned(),
        Some(path) => with_return("/sign-in/start", path),
    }
}

/// A link to signing in from which people come back to `path`.
fn with_return(sign_in: &str, path: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", path)
        .finish();
    format!("{sign_in}?{query}")
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
                p.hint #name-hint { "For trying things out on this machine: a name is all it takes, and whoever types it is that person." }
            }
            button.button.wide.primary[view.provider.is_none()] type="submit" { "Sign in by name" }
        }
    }
}
