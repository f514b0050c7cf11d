//! The home page for visitors who are not signed in.

use maud::{Markup, html};

use crate::web::shared::pages::layout::{Layout, PageContext};
use crate::web::shared::pages::{PRODUCT, icons};

/// `chooses_region`: whether users can choose a region for a new workspace.
pub fn page(context: &PageContext, chooses_region: bool) -> Markup {
    let database = if chooses_region {
        "Each workspace gets its own Postgres database, in the region you choose. It\u{2019}s ready in seconds."
    } else {
        "Each workspace gets its own Postgres database. It\u{2019}s ready in seconds."
    };
    Layout::new(context, "Ask your documents")
        .class("landing")
        .render(&html! {
            section.hero {
                div.hero-words {
                    h1 { "Ask your documents." br; span.accent { "See where every answer comes from." } }
                    p.lead {
                        "Upload your PDFs, ask questions in your own words, and get answers that link to the exact pages they\u{2019}re based on. Every workspace has "
                        "its own database, so your data is never mixed with anyone else\u{2019}s."
                    }
                    div.hero-actions {
                        a.button.primary.large href="/sign-in" { "Get started" }
                    }
                    p.hint { "Sign in and your database is ready in seconds." }
                }
                (sample())
            }
            section.promises aria-labelledby="promises" {
                h2.visually-hidden #promises { "Features" }
                (promise(icons::DATABASE, "Your own database", database))
                (promise(icons::QUOTE, "Answers with sources",
                    "Every statement is linked to a passage. Open the PDF at the right page with one click."))
                (promise(icons::DOWNLOAD, "Your data, your choice",
                    "Export everything at any time. When you delete a workspace, we delete its database and give you a receipt."))
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

/// An example of a question and its answer.
fn sample() -> Markup {
    html! {
        figure.sample aria-label="Example of a question and its answer" {
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
