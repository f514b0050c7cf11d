//! The content of a page as an indented outline: what a reader sees, where links and forms lead, and
//! which parts update. Snapshots of it are short enough to review.

use std::fmt::Write as _;

use crate::elements::{Tag, tags};

/// Elements without an end tag.
const VOID: [&str; 5] = ["meta", "link", "input", "br", "!doctype"];
/// Elements that start a line of their own, with their content indented.
const SECTIONS: [&str; 16] = [
    "article", "aside", "details", "dialog", "dl", "fieldset", "figure", "footer", "form",
    "header", "main", "nav", "ol", "section", "select", "ul",
];
/// Elements that start a line of their own, with the mark of the line.
const LINES: [(&str, &str); 14] = [
    ("blockquote", "> "),
    ("button", "button: "),
    ("dd", ": "),
    ("div", ""),
    ("dt", ""),
    ("h1", "# "),
    ("h2", "## "),
    ("h3", "### "),
    ("legend", ""),
    ("li", "- "),
    ("option", "option: "),
    ("p", ""),
    ("pre", ""),
    ("summary", "summary: "),
];
/// Elements within a sentence. The content of other elements is separated by spaces.
const PHRASES: [&str; 4] = ["code", "mark", "strong", "time"];
/// Attributes that are part of what the page does.
const SHOWN: [&str; 22] = [
    "action",
    "aria-current",
    "aria-label",
    "checked",
    "disabled",
    "hidden",
    "href",
    "http-equiv",
    "hx-get",
    "hx-post",
    "hx-swap",
    "hx-trigger",
    "max",
    "maxlength",
    "method",
    "name",
    "placeholder",
    "required",
    "role",
    "selected",
    "sse-connect",
    "value",
];

/// The title, and the content of the body.
pub(crate) fn page(html: &str) -> String {
    outline(&tags(html), |tag| tag.name == "body")
}

/// The title, and the content of `main`.
pub(crate) fn main(html: &str) -> String {
    outline(&tags(html), |tag| tag.name == "main")
}

fn outline(tags: &[Tag], is_root: impl Fn(&Tag) -> bool) -> String {
    let mut out = Outline::default();
    let title = tags.iter().find(|tag| tag.name == "title");
    out.text(&title.map_or_else(String::new, |tag| format!("title: {}", tag.text_after)));
    out.end_line();
    for tag in tags.iter().filter(|tag| tag.get("http-equiv").is_some()) {
        out.element(tag);
    }
    let (mut root, mut is_icon) = (None, false);
    for tag in tags {
        if root.is_none() && is_root(tag) {
            root = Some(tag.name.as_str());
        }
        if root.is_none() {
            continue;
        }
        is_icon = (is_icon || tag.name == "svg") && !(tag.is_end && tag.name == "svg");
        if !is_icon {
            out.tag(tag);
        }
        if tag.is_end && Some(tag.name.as_str()) == root {
            break;
        }
    }
    out.end_line();
    out.lines
}

#[derive(Default)]
struct Outline {
    lines: String,
    line: String,
    depth: usize,
    /// The open link.
    link: Tag,
}

impl Outline {
    fn tag(&mut self, tag: &Tag) {
        let name = tag.name.as_str();
        let mark = LINES.iter().find(|(line, _)| *line == name);
        if SECTIONS.contains(&name) {
            self.end_line();
            if tag.is_end {
                self.depth -= 1;
            } else {
                self.element(tag);
                self.depth += 1;
            }
        } else if let Some((_, mark)) = mark {
            self.end_line();
            if !tag.is_end {
                self.line.push_str(mark);
                self.attributes(tag);
            }
        } else if name == "a" {
            self.link(tag);
        } else if ["input", "progress", "textarea"].contains(&name) && !tag.is_end {
            self.end_line();
            // Another test checks that every form has a CSRF token.
            if tag.get("name") != Some("csrf") {
                self.element(tag);
            }
        } else if !VOID.contains(&name) {
            if !PHRASES.contains(&name) {
                self.separate();
            }
            if !tag.is_end {
                self.attributes(tag);
            }
        }
        self.text(&tag.text_after);
    }

    /// `[text](target)`, as in Markdown.
    fn link(&mut self, tag: &Tag) {
        if !tag.is_end {
            self.separate();
            self.line.push('[');
            self.link.clone_from(tag);
            return;
        }
        let mut link = std::mem::take(&mut self.link);
        let target = link.get("href").unwrap_or_default().to_owned();
        link.attributes.retain(|(name, _)| name != "href");
        let text = self.line.trim_end().len();
        self.line.truncate(text);
        let _ = write!(self.line, "]({target})");
        self.attributes(&link);
    }

    /// A line for an element.
    fn element(&mut self, tag: &Tag) {
        self.line.push_str(&tag.name);
        self.separate();
        self.attributes(tag);
        self.end_line();
    }

    fn attributes(&mut self, tag: &Tag) {
        let shown: Vec<String> = tag
            .attributes
            .iter()
            .filter(|(name, _)| SHOWN.contains(&name.as_str()))
            .map(|(name, value)| match value.as_str() {
                "" => name.clone(),
                value => format!("{name}={value}"),
            })
            .collect();
        if !shown.is_empty() {
            let _ = write!(self.line, "{{{}}} ", shown.join(" "));
        }
    }

    fn text(&mut self, text: &str) {
        self.line.push_str(&text.replace('\n', " "));
    }

    fn separate(&mut self) {
        if !self.line.is_empty() && !self.line.ends_with([' ', '[']) {
            self.line.push(' ');
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() {
            let _ = writeln!(
                self.lines,
                "{:indent$}{}",
                "",
                line.trim(),
                indent = self.depth * 2
            );
        }
    }
}
