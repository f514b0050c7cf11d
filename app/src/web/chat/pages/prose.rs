//! Renders a model's Markdown as HTML: paragraphs, lists, tables, headings, emphasis, quotes, code,
//! and references such as `[1]`.
//!
//! An answer may repeat what a document told the model to write. It therefore has no active content:
//! links become text with their host, images their description, and HTML is shown as text. All text is
//! escaped. Incomplete text renders as well, because answers are shown while they are generated.

mod references;
#[cfg(test)]
mod tests;

use maud::{Markup, PreEscaped, Render as _};
use pulldown_cmark::{Alignment, CowStr, Event, Options, Parser, Tag, TagEnd, TextMergeStream};
use url::Url;

/// Lists and quotes that are nested more deeply are not indented further.
const MAX_NESTING: usize = 8;

/// Renders the reference with this number. References that it does not know disappear.
type Reference<'a> = &'a dyn Fn(u32) -> Option<Markup>;

pub(in crate::web) fn render(text: &str, reference: Reference<'_>) -> Markup {
    let text = references::protect(text);
    let mut writer = Writer {
        html: String::with_capacity(text.len() * 2),
        reference,
        links: Vec::new(),
        alignments: Vec::new(),
        column: 0,
        is_head: false,
        is_code: false,
        nesting: 0,
    };
    for event in TextMergeStream::new(Parser::new_ext(&text, Options::ENABLE_TABLES)) {
        writer.event(event);
    }
    PreEscaped(writer.html)
}

struct Writer<'a> {
    html: String,
    reference: Reference<'a>,
    /// The URL of each open link, and where its text starts in `html`.
    links: Vec<(String, usize)>,
    /// Of the columns of the open table.
    alignments: Vec<Alignment>,
    column: usize,
    is_head: bool,
    is_code: bool,
    /// Open lists and quotes.
    nesting: usize,
}

impl Writer<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Code(text) => {
                self.html.push_str("<code>");
                self.text(&references::restore(&text));
                self.html.push_str("</code>");
            }
            Event::Text(text) if self.is_code => self.text(&references::restore(&text)),
            Event::InlineHtml(html) if is_line_break(&html) => self.html.push_str("<br>"),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text_with_references(&text),
            Event::SoftBreak | Event::HardBreak => self.html.push_str("<br>"),
            Event::Rule => self.html.push_str("<hr>"),
            Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.html.push_str("<p>"),
            Tag::Heading { .. } => self.html.push_str("<p class=\"prose-heading\">"),
            Tag::BlockQuote(_) => self.nest("<blockquote>"),
            Tag::CodeBlock(_) => {
                self.is_code = true;
                self.html.push_str("<pre tabindex=\"0\"><code>");
            }
            Tag::List(None) => self.nest("<ul>"),
            Tag::List(Some(1)) => self.nest("<ol>"),
            Tag::List(Some(first)) => self.nest(&format!("<ol start=\"{first}\">")),
            Tag::Item if self.is_indented() => self.html.push_str("<li>"),
            Tag::Item => self.html.push_str("<br>\u{2022} "),
            Tag::Table(alignments) => {
                self.alignments = alignments;
                self.html
                    .push_str("<div class=\"table\" tabindex=\"0\"><table>");
            }
            Tag::TableHead => {
                (self.is_head, self.column) = (true, 0);
                self.html.push_str("<thead><tr>");
            }
            Tag::TableRow => {
                self.column = 0;
                self.html.push_str("<tr>");
            }
            Tag::TableCell => self.start_cell(),
            Tag::Emphasis => self.html.push_str("<em>"),
            Tag::Strong => self.html.push_str("<strong>"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                let url = references::restore(&dest_url);
                self.links.push((url, self.html.len()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::Heading(_) => {
                self.html.push_str("</p>");
            }
            TagEnd::BlockQuote(_) => self.unnest("</blockquote>"),
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.html.push_str("</code></pre>");
            }
            TagEnd::List(false) => self.unnest("</ul>"),
            TagEnd::List(true) => self.unnest("</ol>"),
            TagEnd::Item if self.is_indented() => self.html.push_str("</li>"),
            TagEnd::Table => self.html.push_str("</tbody></table></div>"),
            TagEnd::TableHead => {
                self.is_head = false;
                self.html.push_str("</tr></thead><tbody>");
            }
            TagEnd::TableRow => self.html.push_str("</tr>"),
            TagEnd::TableCell if self.is_head => self.html.push_str("</th>"),
            TagEnd::TableCell => self.html.push_str("</td>"),
            TagEnd::Emphasis => self.html.push_str("</em>"),
            TagEnd::Strong => self.html.push_str("</strong>"),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn is_indented(&self) -> bool {
        self.nesting <= MAX_NESTING
    }

    fn nest(&mut self, tag: &str) {
        self.nesting += 1;
        if self.is_indented() {
            self.html.push_str(tag);
        }
    }

    fn unnest(&mut self, tag: &str) {
        if self.is_indented() {
            self.html.push_str(tag);
        }
        self.nesting -= 1;
    }

    fn start_cell(&mut self) {
        let class = match self.alignments.get(self.column) {
            Some(Alignment::Right) => " class=\"end\"",
            Some(Alignment::Center) => " class=\"middle\"",
            Some(Alignment::Left | Alignment::None) | None => "",
        };
        self.column += 1;
        self.html.push_str(if self.is_head {
            "<th scope=\"col\""
        } else {
            "<td"
        });
        self.html.push_str(class);
        self.html.push('>');
    }

    /// Shows where a link or image would lead, unless its text says so.
    fn end_link(&mut self) {
        let Some((url, start)) = self.links.pop() else {
            return;
        };
        let Some(host) = Url::parse(&url)
            .ok()
            .and_then(|url| url.host_str().map(ToOwned::to_owned))
        else {
            return;
        };
        let mut escaped = String::new();
        url.as_str().render_to(&mut escaped);
        if self.html.get(start..) != Some(escaped.as_str()) {
            self.html.push_str(" <span class=\"link-host\" title=\"");
            self.html.push_str(&escaped);
            self.html.push_str("\">(");
            self.text(&host);
            self.html.push_str(")</span>");
        }
    }

    fn text(&mut self, text: &str) {
        text.render_to(&mut self.html);
    }

    fn text_with_references(&mut self, text: &CowStr<'_>) {
        for part in references::parts(text) {
            match part {
                references::Part::Text(text) => self.text(text),
                references::Part::Reference(number) => match (self.reference)(number) {
                    Some(reference) => self.html.push_str(&reference.0),
                    None => self.html.truncate(self.html.trim_end_matches(' ').len()),
                },
            }
        }
    }
}

fn is_line_break(html: &str) -> bool {
    let name = html
        .trim_start_matches('<')
        .trim_end_matches(['>', '/', ' ']);
    name.eq_ignore_ascii_case("br")
}
