//! The front page, for those who are not signed in.

use maud::{Markup, html};

use crate::web::shared::pages::layout::{PageContext, Layout};
use crate::web::shared::pages::{PRODUCT, icons};

/// The page. `chooses_region`: whether a new workspace is asked where its database is to be.
pub fn page(context: &PageContext, chooses_region: bool) -> Markup {
    let database = if chooses_region {
        "Each workspace gets a Postgres database for itself, in the region you choose. You watch it come up."
    } else {
        "Each workspace gets a Postgres database for itself. You watch it come up."
    };
    Layout::new(context, "Ask your documents")
        .class("landing")
        .render(&html! {
            section.hero {
                div.hero-words {
                    h1 { "Ask your documents." br; span.accent { "See where it says so." } }
                    p.lead {
                        "Bring your PDFs, ask in plain words, and get an answer with the pages it rests on, one click away. Every workspace has "
                        "a database of its own: what you bring is stored with nobody else\u{2019}s."
                    }
                    div.hero-actions {
                        a.button.primary.large href="/sign-in" { "Start with your documents" }
                    }
                    p.hint { "Sign in, and your own database is ready in seconds." }
                }
                (sample())
            }
            section.promises aria-labelledby="promises" {
                h2.visually-hidden #promises { "What you can count on" }
                (promise(icons::DATABASE, "A database of your own", database))
                (promise(icons::QUOTE, "Answers that show their source",
                    "Every statement carries the number of a passage. One click opens the PDF at that very page."))
                (promise(icons::DOWNLOAD, "Leave with everything",
                    "Export all of it whenever you like. Remove a workspace and its database goes with it; you get a receipt."))
            }
        })
}

fn promise(icon: icons::Icon, title: &str, text: &str) -> Markup {
    html! {
        article.promise {
            span.promise-icon { (icon) }
            h3 { (title) }
            p { (text) }
        }
    }
}

/// A small picture of what the product does, in words.
fn sample() -> Markup {
    html! {
        figure.sample aria-label="An example of a question and its answer" {
            div.sample-file {
                (icons::DOCUMENTS)
                span.grow { "Lease agreement 2026.pdf" small { "18 pages" } }
                span.badge.good { "Ready" }
            }
            p.sample-question { "When can the rent go up, and by how much?" }
            div.sample-answer {
                p.sample-author { (icons::LOGO) (PRODUCT) }
                p {
                    "Once a year, on 1 April, following the consumer price index" span.ref { "1" }
                    ", and never by more than 4%" span.ref { "2" } "."
                }
                p.sample-sources {
                    span { span.ref { "1" } "page 6" }
                    span { span.ref { "2" } "page 7" }
                }
            }
        }
    }
}
