//! Snapshots of every page of the gallery.

use insta::assert_snapshot;

use crate::{outline, samples};

/// Pages of which the snapshot also contains the header, the navigation and the footer.
const WITH_LAYOUT: [&str; 3] = ["home", "account", "documents"];

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn every_page_of_the_gallery_matches_its_snapshot() {
    settings().bind(|| {
        for (name, page) in samples::all() {
            let html = page.into_string();
            let content = if WITH_LAYOUT.contains(&name) {
                outline::page(&html)
            } else {
                outline::main(&html)
            };
            assert_snapshot!(name, content);
        }
    });
}
