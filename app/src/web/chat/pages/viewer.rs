//! The viewer of cited documents, which a script fills when a citation is opened. Without the script,
//! citations open the file in another tab.

use maud::{Markup, html};

use crate::web::shared::assets;
use crate::web::shared::pages::icons::{self, Icon};

const MAX_TERM_CHARS: usize = 100;

pub(super) fn viewer() -> Markup {
    html! {
        dialog.viewer #viewer aria-labelledby="viewer-title" data-script=(assets::VIEWER_JS) data-style=(assets::VIEWER_CSS)
            data-library=(assets::PDF_JS) data-worker=(assets::PDF_WORKER_JS) data-resources=(assets::PDF_RESOURCES) {
            header.viewer-head {
                div.grow {
                    h2 #viewer-title dir="auto" { "Document" }
                    p.hint #viewer-source {}
                }
                (button("viewer-previous", "Previous source", icons::PREVIOUS))
                (button("viewer-next", "Next source", icons::NEXT))
                (button("viewer-close", "Close document", icons::CROSS))
            }
            (tools())
            p.viewer-status #viewer-status role="status" {}
            div.viewer-pages #viewer-pages tabindex="0" role="group" aria-label="Pages" autofocus {}
            div.viewer-problem #viewer-problem role="alert" hidden {
                p #viewer-problem-text {}
            }
        }
    }
}

fn tools() -> Markup {
    html! {
        div.viewer-tools {
            div.viewer-place {
                label for="viewer-page" { "Page" }
                input #viewer-page type="text" inputmode="numeric" autocomplete="off" value="1";
                span #viewer-count {}
                span.hint #viewer-label {}
            }
            div {
                (button("viewer-zoom-out", "Zoom out", icons::MINUS))
                (button("viewer-zoom-in", "Zoom in", icons::PLUS))
                a.icon-button #viewer-download href="#" aria-label="Download" title="Download" { (icons::DOWNLOAD) }
                a.icon-button #viewer-open href="#" target="_blank" rel="noopener" aria-label="Open in a new tab" title="Open in a new tab" { (icons::OPEN) }
            }
            form #viewer-search role="search" method="get" {
                label.visually-hidden for="viewer-term" { "Search this document" }
                input #viewer-term type="search" placeholder="Search this document" autocomplete="off" maxlength=(MAX_TERM_CHARS) enterkeyhint="search";
                button.icon-button type="submit" value="previous" aria-label="Previous match" title="Previous match" { (icons::UP) }
                button.icon-button type="submit" value="next" aria-label="Next match" title="Next match" { (icons::DOWN) }
            }
        }
    }
}

fn button(id: &str, label: &str, icon: Icon) -> Markup {
    html! { button.icon-button id=(id) type="button" aria-label=(label) title=(label) { (icon) } }
}
