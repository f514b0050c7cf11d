//! Navigation: top bar, sidebar, workspace switcher and user menu.

use maud::{Markup, html};

use super::{PageContext, Section, Theme};
use crate::web::shared::assets;
use crate::web::shared::pages::parts::button_form;
use crate::web::shared::pages::{PRODUCT, icons};

/// Top bar for visitors who are not signed in.
pub(in crate::web) fn bar(context: &PageContext) -> Markup {
    html! {
        header.bar {
            (brand())
            div.bar-end {
                (theme_switch(context.theme))
                a.button.quiet href="/sign-in" { "Sign in" }
            }
        }
    }
}

fn brand() -> Markup {
    html! { a.brand href="/" { (icons::LOGO) span { (PRODUCT) } } }
}

/// Navigation for signed-in users: a sidebar on wide screens; a top bar and tabs on phones.
pub(in crate::web) fn sidebar(context: &PageContext, section: Option<Section>) -> Markup {
    html! {
        header.sidebar {
            div.sidebar-top {
                (brand())
                (workspace_switch(context))
            }
            @if let Some(workspace) = &context.workspace {
                nav.sections aria-label="Workspace" {
                    @for entry in Section::ALL {
                        @let (path, label, icon) = entry.shown();
                        a href={ "/w/" (workspace.id) "/" (path) } aria-current=[(section == Some(entry)).then_some("page")] {
                            (icon) span { (label) }
                        }
                    }
                }
            }
            div.sidebar-end { (person_menu(context)) }
        }
    }
}

fn workspace_switch(context: &PageContext) -> Markup {
    let current = context.workspace.as_ref();
    html! {
        details.menu.workspace-switch data-menu {
            summary {
                span.workspace-mark aria-hidden="true" { (initial(current.map_or("+", |workspace| &workspace.name))) }
                span.workspace-name {
                    span.visually-hidden { "Workspace: " }
                    (current.map_or("Workspaces", |workspace| &workspace.name))
                }
                (icons::SWITCH)
            }
            div.menu-items {
                p.menu-label { "Workspaces" }
                @for workspace in &context.workspaces {
                    a.menu-item href={ "/w/" (workspace.id) } aria-current=[(current.map(|at| &at.id) == Some(&workspace.id)).then_some("true")] {
                        span.workspace-mark aria-hidden="true" { (initial(&workspace.name)) }
                        span.grow { bdi { (workspace.name) } small { (workspace.role.label()) } }
                    }
                }
                a.menu-item.separate href="/workspaces/new" { (icons::PLUS) span { "New workspace" } }
            }
        }
    }
}

/// The first letter of a name, used as an avatar.
pub(in crate::web) fn initial(name: &str) -> String {
    name.trim()
        .chars()
        .next()
        .map_or_else(|| "?".to_owned(), |letter| letter.to_uppercase().collect())
}

fn person_menu(context: &PageContext) -> Markup {
    html! {
        @if let Some(user) = &context.user {
            details.menu.person-menu data-menu {
                summary {
                    span.avatar aria-hidden="true" { (initial(&user.name)) }
                    span.person-name { span.visually-hidden { "Account: " } (user.name) }
                }
                div.menu-items {
                    div.menu-person {
                        strong { bdi { (user.name) } }
                        @if let Some(email) = &user.email { small { (email) } }
                    }
                    a.menu-item href="/account" { (icons::USER) span { "Account" } }
                    (theme_switch(context.theme))
                    (button_form("/sign-out", &context.csrf, "menu-item separate", html! { (icons::OUT) span { "Sign out" } }))
                }
            }
        }
    }
}

/// Hidden until the script runs, because the buttons need it.
fn theme_switch(theme: Theme) -> Markup {
    html! {
        div.theme-switch role="group" aria-label="Theme" data-theme-switch hidden {
            @for (value, of, label, icon) in [
                ("light", Theme::Light, "Light", icons::SUN),
                ("device", Theme::Device, "Use device setting", icons::DISPLAY),
                ("dark", Theme::Dark, "Dark", icons::MOON),
            ] {
                button type="button" value=(value) aria-pressed=(if theme == of { "true" } else { "false" }) aria-label=(label) title=(label) { (icon) }
            }
        }
    }
}

pub(in crate::web) fn footer() -> Markup {
    html! {
        footer.footer {
            p { (PRODUCT) " keeps each workspace in its own database." }
            p { a href=(assets::LICENSES_TXT) { "Licenses" } }
        }
    }
}
