//! Rules that every page of the gallery has to follow.

use std::collections::BTreeSet;

use app::web::shared::assets;

use crate::elements::{Tag, tags};
use crate::samples::{self, HOSTILE};

fn pages() -> Vec<(&'static str, Vec<Tag>)> {
    samples::all()
        .into_iter()
        .map(|(name, page)| (name, tags(&page.into_string())))
        .collect()
}

fn starts(tags: &[Tag]) -> impl Iterator<Item = &Tag> {
    tags.iter().filter(|tag| !tag.is_end)
}

#[test]
fn no_page_contains_inline_scripts_or_styles() {
    for (page, tags) in pages() {
        for tag in starts(&tags) {
            assert_ne!(tag.name, "style", "{page}");
            for (name, value) in &tag.attributes {
                assert!(
                    name != "style" && !name.starts_with("on") && !name.starts_with("hx-on"),
                    "{page}: {tag:?}"
                );
                assert!(
                    !value.trim_start().to_lowercase().starts_with("javascript:"),
                    "{page}: {tag:?}"
                );
            }
            if tag.name == "script" {
                let source = tag.get("src").expect(page);
                assert!(source.starts_with("/assets/"), "{page}: {source}");
                assert_eq!(tag.text_after, "", "{page}");
            }
        }
    }
}

#[test]
fn all_urls_are_local_and_all_assets_are_embedded() {
    for (page, tags) in pages() {
        for tag in starts(&tags) {
            for (name, value) in &tag.attributes {
                if [
                    "href",
                    "src",
                    "action",
                    "formaction",
                    "hx-get",
                    "hx-post",
                    "sse-connect",
                ]
                .contains(&name.as_str())
                {
                    let local = (value.starts_with('/') && !value.starts_with("//"))
                        || value.starts_with('#')
                        || value.starts_with('?');
                    assert!(local, "{page}: {name}={value}");
                    if let Some(file) = value.strip_prefix("/assets/") {
                        assert!(assets::find(file).is_some(), "{page}: {value}");
                    }
                }
            }
            if tag.get("target") == Some("_blank") {
                assert_eq!(tag.get("rel"), Some("noopener"), "{page}: {tag:?}");
            }
        }
    }
}

#[test]
fn user_supplied_text_is_always_escaped() {
    let known: BTreeSet<&str> = "html head meta title link script noscript body a header nav main div span p h1 h2 h3 ul ol li dl dt dd \
        section article aside footer figure form fieldset legend label input select option textarea button details summary dialog progress \
        time strong em bdi small code pre blockquote mark br hr table thead tbody tr th td svg path circle ellipse"
        .split_whitespace()
        .collect();
    let mut seen = 0;
    for (page, tags) in pages() {
        for tag in starts(&tags) {
            assert!(
                known.contains(tag.name.as_str()) || tag.name == "!doctype",
                "{page}: <{}",
                tag.name
            );
            let is_present = tag.text_after.contains(HOSTILE)
                || tag
                    .attributes
                    .iter()
                    .any(|(_, value)| value.contains(HOSTILE));
            seen += usize::from(is_present);
        }
    }
    assert!(
        seen > 50,
        "the hostile text occurs only {seen} times, so this test checks little"
    );
}

#[test]
fn every_post_form_has_a_csrf_token() {
    let mut forms = 0;
    for (page, tags) in pages() {
        let mut open: Option<(&Tag, bool)> = None;
        for tag in &tags {
            match (tag.name.as_str(), tag.is_end, open) {
                ("form", false, None) => open = Some((tag, false)),
                ("form", false, Some(_)) => panic!("{page}: nested form: {tag:?}"),
                ("form", true, Some((form, has_token))) => {
                    let posts = form.get("method") == Some("post");
                    assert!(
                        posts || form.get("method") == Some("get"),
                        "{page}: {form:?}"
                    );
                    assert!(!posts || has_token, "{page}: {form:?}");
                    forms += usize::from(posts);
                    open = None;
                }
                ("input", false, Some((form, _))) if tag.get("name") == Some("csrf") => {
                    assert_eq!(tag.get("type"), Some("hidden"), "{page}");
                    assert!(
                        tag.get("value").is_some_and(|value| !value.is_empty()),
                        "{page}: {form:?}"
                    );
                    open = Some((form, true));
                }
                _ => {}
            }
        }
    }
    assert!(forms > 100, "only {forms} forms found");
}

#[test]
fn every_field_has_a_label_and_every_button_a_type() {
    for (page, tags) in pages() {
        let labels: BTreeSet<&str> = starts(&tags)
            .filter(|tag| tag.name == "label")
            .filter_map(|tag| tag.get("for"))
            .collect();
        for tag in starts(&tags) {
            match tag.name.as_str() {
                "input" | "select" | "textarea" if tag.get("type") != Some("hidden") => {
                    let labelled = tag.get("id").is_some_and(|id| labels.contains(id));
                    assert!(
                        labelled || tag.get("aria-label").is_some(),
                        "{page}: {tag:?}"
                    );
                }
                "button" => assert!(tag.get("type").is_some(), "{page}: {tag:?}"),
                "progress" => assert!(tag.get("aria-label").is_some(), "{page}: {tag:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn every_page_has_one_heading_a_title_a_language_and_a_skip_link() {
    for (page, tags) in pages() {
        let count = |name: &str| starts(&tags).filter(|tag| tag.name == name).count();
        assert_eq!(
            (count("h1"), count("main"), count("title")),
            (1, 1, 1),
            "{page}"
        );
        let html = starts(&tags).find(|tag| tag.name == "html").unwrap();
        assert_eq!(html.get("lang"), Some("en"), "{page}");
        let skip = starts(&tags).find(|tag| tag.name == "a").unwrap();
        assert_eq!(skip.get("href"), Some("#main"), "{page}");
    }
}

#[test]
fn ids_are_unique_and_references_resolve() {
    for (page, tags) in pages() {
        let mut ids = BTreeSet::new();
        for id in starts(&tags).filter_map(|tag| tag.get("id")) {
            assert!(ids.insert(id), "{page}: duplicate id {id}");
        }
        for tag in starts(&tags) {
            for name in [
                "for",
                "aria-labelledby",
                "aria-describedby",
                "data-dialog",
                "data-copy",
            ] {
                for id in tag.get(name).into_iter().flat_map(str::split_whitespace) {
                    assert!(ids.contains(id), "{page}: {name}={id}");
                }
            }
            for name in ["hx-target", "hx-select"] {
                if let Some(id) = tag.get(name).and_then(|value| value.strip_prefix('#')) {
                    assert!(ids.contains(id), "{page}: {name}=#{id}");
                }
            }
        }
    }
}

#[test]
fn elements_are_closed_in_order() {
    let void = [
        "meta", "link", "input", "br", "hr", "!doctype", "path", "circle", "ellipse",
    ];
    for (page, tags) in pages() {
        let mut open: Vec<&str> = Vec::new();
        for tag in &tags {
            if tag.is_end {
                assert_eq!(open.pop(), Some(tag.name.as_str()), "{page}");
            } else if !void.contains(&tag.name.as_str()) {
                open.push(&tag.name);
            }
        }
        assert!(open.is_empty(), "{page}: {open:?}");
    }
}

#[test]
fn htmx_is_configured_to_respect_the_content_security_policy() {
    for (page, tags) in pages() {
        let config = starts(&tags)
            .find(|tag| tag.get("name") == Some("htmx-config"))
            .and_then(|tag| tag.get("content"))
            .expect(page);
        let config: serde_json::Value = serde_json::from_str(config).expect(page);
        for (setting, value) in [
            ("includeIndicatorStyles", false),
            ("allowEval", false),
            ("allowScriptTags", false),
            ("selfRequestsOnly", true),
        ] {
            assert_eq!(config[setting], value, "{page}: {setting}");
        }
        let copied = config["attributesToSettle"].as_array().expect(page);
        assert!(
            !copied.iter().any(|name| name == "style"),
            "{page}: {copied:?}"
        );
        assert_eq!(
            config["historyCacheSize"], 0,
            "{page}: private pages must not be cached in the browser's storage"
        );
    }
}

#[test]
fn destructive_forms_ask_first_and_dialogs_focus_the_button_that_changes_nothing() {
    let destructive = ["/delete", "/remove", "/revoke", "/leave"];
    let mut forms = 0;
    for (page, tags) in pages() {
        let mut in_dialog = false;
        let mut form: Option<(&Tag, bool)> = None;
        for tag in &tags {
            match (tag.name.as_str(), tag.is_end) {
                ("dialog", is_end) => in_dialog = !is_end,
                ("form", false) => form = Some((tag, in_dialog)),
                ("input", false) if tag.get("data-confirm").is_some() => {
                    form = form.map(|(tag, _)| (tag, true));
                }
                ("form", true) => {
                    let Some((tag, asks)) = form.take() else {
                        continue;
                    };
                    let action = tag.get("action").unwrap_or_default();
                    if destructive.iter().any(|end| action.ends_with(end)) {
                        assert!(asks, "{page}: {tag:?} asks no question");
                        forms += 1;
                    }
                }
                _ => {}
            }
        }
        for (id, end) in dialogs(&tags) {
            let buttons: Vec<&Tag> = end
                .iter()
                .filter(|tag| tag.name == "button" && !tag.is_end)
                .collect();
            let is_dangerous = buttons.iter().any(|tag| {
                tag.get("class")
                    .is_some_and(|class| class.contains("danger"))
            });
            let focuses_cancel = buttons
                .iter()
                .any(|tag| tag.get("command") == Some("close") && tag.get("autofocus").is_some());
            assert!(!is_dangerous || focuses_cancel, "{page}: {id}");
        }
    }
    assert!(forms > 10, "only {forms} destructive forms");
}

/// The ids of the dialogs, and the tags in each.
fn dialogs(tags: &[Tag]) -> Vec<(String, &[Tag])> {
    let mut found = Vec::new();
    let mut rest = tags;
    while let Some(start) = rest
        .iter()
        .position(|tag| tag.name == "dialog" && !tag.is_end)
    {
        let id = rest[start].get("id").unwrap_or_default().to_owned();
        let inside = &rest[start + 1..];
        let end = inside
            .iter()
            .position(|tag| tag.name == "dialog" && tag.is_end)
            .unwrap_or(inside.len());
        found.push((id, &inside[..end]));
        rest = &inside[end..];
    }
    found
}

#[test]
fn hidden_elements_stay_hidden_when_they_have_the_focus() {
    let css = assets::find(assets::APP_CSS.trim_start_matches("/assets/")).expect("the stylesheet");
    let css = std::str::from_utf8(css.bytes).expect("text");
    let selectors: Vec<&str> = css
        .match_indices(".visually-hidden")
        .map(|(at, _)| css[at..].split('{').next().expect("a selector").trim())
        .collect();
    // A file input would show the browser's own button.
    assert_eq!(selectors, [".visually-hidden"]);
}
