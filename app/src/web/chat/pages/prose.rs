//! Renders a model's text as HTML: paragraphs, lists, headings, bold, code, and references such as
//! `[1]`.
//!
//! Supports the subset of Markdown that models commonly use; everything else stays text. All text
//! is escaped, so no markup from a model or a document reaches the page. Incomplete text renders as
//! well, because answers are shown while they are generated.

use maud::{Markup, Render, html};

/// Renders the reference with this number; `None` leaves it as text.
type Reference<'a> = &'a dyn Fn(u32) -> Option<Markup>;

pub(in crate::web) fn render(text: &str, reference: Reference<'_>) -> Markup {
    html! {
        @for block in blocks(text) {
            @match block {
                Block::Paragraph(lines) => p { (lines_of(&lines, reference)) },
                Block::Heading(line) => p.prose-heading { (spans(line, reference)) },
                Block::Bullets(items) => ul { @for item in &items { li { (lines_of(item, reference)) } } },
                Block::Numbers(first, items) => ol start=[(first != 1).then_some(first)] { @for item in &items { li { (lines_of(item, reference)) } } },
                Block::Code(lines) => pre tabindex="0" { code { (lines.join("\n")) } },
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Paragraph(Vec<&'a str>),
    Heading(&'a str),
    Bullets(Vec<Vec<&'a str>>),
    Numbers(u32, Vec<Vec<&'a str>>),
    Code(Vec<&'a str>),
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut out: Vec<Block<'_>> = Vec::new();
    // Whether the previous line continues: an empty line ends a paragraph and a list item, but not
    // a list.
    let mut open = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            let code = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            out.push(Block::Code(code));
            open = false;
        } else if trimmed.is_empty() {
            open = false;
        } else if let Some(item) = bullet(trimmed) {
            match out.last_mut() {
                Some(Block::Bullets(items)) => items.push(vec![item]),
                _ => out.push(Block::Bullets(vec![vec![item]])),
            }
            open = true;
        } else if let Some((number, item)) = numbered(trimmed) {
            match out.last_mut() {
                Some(Block::Numbers(_, items)) => items.push(vec![item]),
                _ => out.push(Block::Numbers(number, vec![vec![item]])),
            }
            open = true;
        } else if let Some(heading) = heading(trimmed) {
            out.push(Block::Heading(heading));
            open = false;
        } else {
            match out.last_mut() {
                Some(Block::Paragraph(lines)) if open => lines.push(trimmed),
                Some(Block::Bullets(items) | Block::Numbers(_, items)) if open => {
                    if let Some(item) = items.last_mut() {
                        item.push(trimmed);
                    }
                }
                _ => out.push(Block::Paragraph(vec![trimmed])),
            }
            open = true;
        }
    }
    out
}

fn bullet(line: &str) -> Option<&str> {
    ["- ", "* ", "\u{2022} "]
        .into_iter()
        .find_map(|mark| line.strip_prefix(mark))
}

fn numbered(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.split_once(['.', ')'])?;
    let item = rest.strip_prefix(' ')?;
    (number.len() <= 3)
        .then(|| number.parse().ok())
        .flatten()
        .map(|number| (number, item))
}

fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level))
        .then(|| rest.strip_prefix(' '))
        .flatten()
}

fn lines_of(lines: &[&str], reference: Reference<'_>) -> Markup {
    html! { @for (index, line) in lines.iter().enumerate() { @if index > 0 { br; } (spans(line, reference)) } }
}

/// Bold, code, references and plain text within a line.
fn spans(line: &str, reference: Reference<'_>) -> Markup {
    let mut buffer = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['*', '`', '[']) {
        let (before, mark) = rest.split_at(at);
        before.render_to(&mut buffer);
        let (piece, after) = span(mark, reference);
        piece.render_to(&mut buffer);
        rest = after;
    }
    rest.render_to(&mut buffer);
    maud::PreEscaped(buffer)
}

/// If the text starts with a marker, the marked text and the remainder.
fn span<'a>(text: &'a str, reference: Reference<'_>) -> (Markup, &'a str) {
    if let Some((inner, after)) = between(text, "**") {
        return (html! { strong { (spans(inner, reference)) } }, after);
    }
    if let Some((inner, after)) = between(text, "`") {
        return (html! { code { (inner) } }, after);
    }
    if let Some((numbers, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let found: Option<Vec<Markup>> = numbers
            .split(',')
            .map(|number| number.trim().parse().ok().and_then(reference))
            .collect();
        if let Some(found) = found {
            return (html! { @for link in found { (link) } }, after);
        }
    }
    let end = text.chars().next().map_or(0, char::len_utf8);
    let (mark, after) = text.split_at(end);
    (html! { (mark) }, after)
}

/// Text between two markers, if not empty.
fn between<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let (inner, after) = text.strip_prefix(mark)?.split_once(mark)?;
    (!inner.is_empty()).then_some((inner, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        render(text, &|number| {
            (number <= 2).then(|| html! { a.ref href="#" { (number) } })
        })
        .into_string()
    }

    #[test]
    fn paragraphs_lists_bold_and_code_are_shown_as_such() {
        assert_eq!(
            shown("First.\nStill first.\n\nSecond, **bold** and `code`."),
            "<p>First.<br>Still first.</p><p>Second, <strong>bold</strong> and <code>code</code>.</p>"
        );
        assert_eq!(
            shown("Two:\n- one\n- two\n  goes on\n\n3. three\n4. four"),
            "<p>Two:</p><ul><li>one</li><li>two<br>goes on</li></ul><ol start=\"3\"><li>three</li><li>four</li></ol>"
        );
        assert_eq!(
            shown("## Rent\n```\na < b\n```\nafter"),
            "<p class=\"prose-heading\">Rent</p><pre tabindex=\"0\"><code>a &lt; b</code></pre><p>after</p>"
        );
    }

    #[test]
    fn known_references_become_links_and_unknown_ones_stay_text() {
        assert_eq!(
            shown("So it is [1], [2,1] but not [3] or [x]."),
            "<p>So it is <a class=\"ref\" href=\"#\">1</a>, <a class=\"ref\" href=\"#\">2</a><a class=\"ref\" href=\"#\">1</a> but not [3] or [x].</p>"
        );
    }

    #[test]
    fn text_that_is_cut_off_is_shown_as_far_as_it_goes() {
        assert_eq!(shown("It is **bo"), "<p>It is **bo</p>");
        assert_eq!(shown("See ["), "<p>See [</p>");
        assert_eq!(
            shown("```\ncode"),
            "<pre tabindex=\"0\"><code>code</code></pre>"
        );
    }

    proptest! {
        #[test]
        fn no_markup_of_the_text_reaches_the_page(text in "(<script>|<img onerror=x>|\"|'|&|\\[1\\]|\\*\\*|`|```|\n|- |1\\. |# |[a-z ]{0,4}|é|\u{202e})*") {
            let html = shown(&text);
            prop_assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
            for (open, close) in [("<p", "</p>"), ("<li>", "</li>"), ("<strong>", "</strong>"), ("<code>", "</code>"), ("<pre ", "</pre>")] {
                let opened = if open == "<p" { html.matches("<p>").count() + html.matches("<p ").count() } else { html.matches(open).count() };
                prop_assert_eq!(opened, html.matches(close).count(), "{} in {}", open, html);
            }
        }
    }
}
