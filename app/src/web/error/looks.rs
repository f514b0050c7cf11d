//! A problem as HTML.

use maud::{DOCTYPE, Markup, html};

use super::Problem;

/// A page of its own.
pub(super) fn page(problem: &Problem, request_id: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (problem.title) }
            }
            body {
                main {
                    h1 { (problem.title) }
                    p { (problem.what_to_do) }
                    p { a href="/" { "To the first page" } }
                    p { small { "Request " (request_id) } }
                }
            }
        }
    }
}

/// A piece of a page, announced to those who cannot see it.
pub(super) fn fragment(problem: &Problem, request_id: &str) -> Markup {
    html! {
        div role="alert" data-request=(request_id) {
            strong { (problem.title) }
            " "
            (problem.what_to_do)
        }
    }
}
