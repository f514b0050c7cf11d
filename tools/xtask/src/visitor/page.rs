//! A page that arrived, and what can be read off it.

use anyhow::{Result, bail};
use reqwest::{Response, StatusCode};

use super::Row;

/// What the words of an error quote at most, in characters.
const QUOTE_CHARS_MAX: usize = 600;

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    status: StatusCode,
    path: String,
    text: String,
}

impl Page {
    pub(super) async fn read(answer: Response) -> Result<Self> {
        let (status, path) = (answer.status(), answer.url().path().to_owned());
        Ok(Self {
            status,
            path,
            text: answer.text().await?,
        })
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Where it is, after all redirects.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its HTML.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its words, without the markup.
    pub fn words(&self) -> String {
        let main = self
            .text
            .split_once("<main")
            .map_or(&*self.text, |(_, main)| main);
        words(main)
    }

    /// Itself, if it is what was asked for and no page that says why not.
    pub fn expect_success(self, what: &str) -> Result<Self> {
        if !self.status.is_success() {
            let quote: String = self.words().chars().take(QUOTE_CHARS_MAX).collect();
            bail!("{what}: {} at {}: {quote}", self.status, self.path);
        }
        Ok(self)
    }

    /// The text between two others, entities resolved.
    pub fn between(&self, before: &str, after: &str) -> Option<String> {
        between(&self.text, before, after).map(unescaped)
    }

    /// The token for forms and scripts of this page.
    pub(super) fn csrf(&self) -> Option<String> {
        self.between("X-CSRF-Token&quot;:&quot;", "&quot;")
            .or_else(|| self.between("name=\"csrf\" value=\"", "\""))
    }

    /// The documents of a list.
    pub fn rows(&self) -> Vec<Row> {
        let parts = self.text.split("id=\"document-").skip(1);
        parts
            .filter_map(|part| {
                let row = part.split("</li>").next().unwrap_or(part);
                let (document, _) = row.split_once('"')?;
                Some(Row {
                    document: document.to_owned(),
                    state: between(row, "data-state=\"", "\"")?.to_owned(),
                    words: words(row.split_once('>')?.1),
                })
            })
            .collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// HTML without its tags, entities resolved, spaces single.
pub(super) fn words(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' if inside => inside = false,
            _ if !inside => text.push(character),
            _ => {}
        }
    }
    let single: Vec<&str> = text.split_whitespace().collect();
    unescaped(&single.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page {
            status: StatusCode::OK,
            path: "/".into(),
            text: text.into(),
        }
    }

    #[test]
    fn the_token_is_read_from_the_body_or_a_form() {
        let body = page("<body hx-headers=\"{&quot;X-CSRF-Token&quot;:&quot;abc&quot;}\">");
        assert_eq!(body.csrf().as_deref(), Some("abc"));
        let form = page("<input type=\"hidden\" name=\"csrf\" value=\"d&amp;f\">");
        assert_eq!(form.csrf().as_deref(), Some("d&f"));
    }

    #[test]
    fn rows_tell_their_document_their_state_and_their_words() {
        let rows = page(
            "<ul class=\"rows\"><li class=\"row\" id=\"document-1-2\" data-state=\"failed\"><p><a href=\"/x\">A &amp; B</a></p>\
             <p><strong>It is locked.</strong> Unlock it.</p></li><li class=\"row\" id=\"document-3\" data-state=\"ready\"></li></ul>",
        )
        .rows();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].document.as_str(), rows[0].state.as_str()),
            ("1-2", "failed")
        );
        assert_eq!(rows[0].words, "A & B It is locked. Unlock it.");
    }
}
