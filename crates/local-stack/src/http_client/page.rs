//! A response page and the data in its HTML.

use anyhow::{Result, bail};
use reqwest::{Response, StatusCode};

use super::DocumentRow;

/// How many characters of an error page's text an error quotes.
const MAX_QUOTE_CHARS: usize = 600;

#[derive(Debug, Clone)]
pub struct Page {
    status: StatusCode,
    path: String,
    html: String,
}

impl Page {
    pub(super) async fn read(response: Response) -> Result<Self> {
        let (status, path) = (response.status(), response.url().path().to_owned());
        Ok(Self {
            status,
            path,
            html: response.text().await?,
        })
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The path after all redirects.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn html(&self) -> &str {
        &self.html
    }

    /// The visible text of the page's main element.
    pub fn text(&self) -> String {
        let main = self
            .html
            .split_once("<main")
            .map_or(&*self.html, |(_, main)| main);
        visible_text(main)
    }

    /// Fails unless the status is a success. `what` names the page in the error.
    pub fn expect_success(self, what: &str) -> Result<Self> {
        if !self.status.is_success() {
            let quote: String = self.text().chars().take(MAX_QUOTE_CHARS).collect();
            bail!("{what}: {} at {}: {quote}", self.status, self.path);
        }
        Ok(self)
    }

    /// The HTML between two strings, with entities decoded.
    pub fn text_between(&self, before: &str, after: &str) -> Option<String> {
        between(&self.html, before, after).map(decode_entities)
    }

    pub(super) fn csrf(&self) -> Option<String> {
        self.text_between("X-CSRF-Token&quot;:&quot;", "&quot;")
            .or_else(|| self.text_between("name=\"csrf\" value=\"", "\""))
    }

    /// The rows of a document list.
    pub fn document_rows(&self) -> Vec<DocumentRow> {
        let parts = self.html.split("id=\"document-").skip(1);
        parts
            .filter_map(|part| {
                let row = part.split("</li>").next().unwrap_or(part);
                let (document, _) = row.split_once('"')?;
                Some(DocumentRow {
                    document_id: document.to_owned(),
                    state: between(row, "data-state=\"", "\"")?.to_owned(),
                    text: visible_text(row.split_once('>')?.1),
                })
            })
            .collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

fn decode_entities(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// HTML without tags, with entities decoded and whitespace collapsed.
pub(super) fn visible_text(html: &str) -> String {
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
    let words: Vec<&str> = text.split_whitespace().collect();
    decode_entities(&words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        Page {
            status: StatusCode::OK,
            path: "/".into(),
            html: html.into(),
        }
    }

    #[test]
    fn the_csrf_token_is_read_from_the_body_or_a_form() {
        let body = page("<body hx-headers=\"{&quot;X-CSRF-Token&quot;:&quot;abc&quot;}\">");
        assert_eq!(body.csrf().as_deref(), Some("abc"));
        let form = page("<input type=\"hidden\" name=\"csrf\" value=\"d&amp;f\">");
        assert_eq!(form.csrf().as_deref(), Some("d&f"));
    }

    #[test]
    fn document_rows_have_an_id_a_state_and_a_text() {
        let rows = page(
            "<ul class=\"rows\"><li class=\"row\" id=\"document-1-2\" data-state=\"failed\"><p><a href=\"/x\">A &amp; B</a></p>\
             <p><strong>It is locked.</strong> Unlock it.</p></li><li class=\"row\" id=\"document-3\" data-state=\"ready\"></li></ul>",
        )
        .document_rows();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].document_id.as_str(), rows[0].state.as_str()),
            ("1-2", "failed")
        );
        assert_eq!(rows[0].text, "A & B It is locked. Unlock it.");
    }
}
