//! File names and titles: one printable line, within the column's length.

use std::str::FromStr;

/// Limit of the column `file_name`.
const MAX_FILE_NAME_CHARS: usize = 255;
/// Limit of the column `title`.
pub const MAX_TITLE_CHARS: usize = 500;

/// The name of an uploaded file, without directories. For display only: no path or key is derived
/// from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Sanitizes a name sent by a browser. Falls back to `document.pdf`.
    pub fn from_upload(text: &str) -> Self {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = printable(last, MAX_FILE_NAME_CHARS);
        if name.is_empty() {
            Self("document.pdf".to_owned())
        } else {
            Self(name)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The document's initial title: the file name without its `.pdf` extension.
    pub fn title(&self) -> Title {
        let stem = match self.0.rsplit_once('.') {
            Some((stem, ending)) if ending.eq_ignore_ascii_case("pdf") => stem.trim(),
            _ => &self.0,
        };
        Title(if stem.is_empty() { &self.0 } else { stem }.to_owned())
    }
}

/// The title of a document, which users can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTitle {
    #[error("a title must not be empty")]
    Empty,
    #[error("a title must have at most {MAX_TITLE_CHARS} characters")]
    TooLong,
}

impl Title {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = InvalidTitle;

    fn from_str(text: &str) -> Result<Self, InvalidTitle> {
        let title = printable(text, usize::MAX);
        match title.chars().count() {
            0 => Err(InvalidTitle::Empty),
            1..=MAX_TITLE_CHARS => Ok(Self(title)),
            _ => Err(InvalidTitle::TooLong),
        }
    }
}

/// Collapses white space into single spaces and drops invisible characters, including bidirectional
/// overrides, which make `fdp.exe` look like `exe.pdf`.
fn printable(text: &str, max_chars: usize) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let line: Vec<&str> = visible.split_whitespace().collect();
    line.join(" ")
        .chars()
        .take(max_chars)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_becomes_a_valid_file_name_and_title(text in any::<String>()) {
            let name = FileName::from_upload(&text);
            prop_assert!((1..=255).contains(&name.as_str().chars().count()));
            prop_assert!(!name.as_str().contains(['/', '\\']));
            prop_assert!(!name.as_str().chars().any(char::is_control));
            let title = name.title();
            prop_assert_eq!(title.as_str().parse(), Ok(title.clone()));
        }
    }

    #[test]
    fn the_title_excludes_directories_and_the_extension() {
        for (text, name, title) in [
            ("Annual report.PDF", "Annual report.PDF", "Annual report"),
            (r"C:\Users\me\a.pdf", "a.pdf", "a"),
            ("../../etc/passwd", "passwd", "passwd"),
            (".pdf", ".pdf", ".pdf"),
            ("two\nlines\t.pdf", "two lines .pdf", "two lines"),
            ("evil\u{202e}fdp.exe", "evilfdp.exe", "evilfdp.exe"),
            (" \u{0} ", "document.pdf", "document"),
        ] {
            let made = FileName::from_upload(text);
            assert_eq!(made.as_str(), name);
            assert_eq!(made.title().as_str(), title);
        }
    }

    #[test]
    fn a_title_is_neither_empty_nor_too_long() {
        assert_eq!("  \u{200b} ".parse::<Title>(), Err(InvalidTitle::Empty));
        assert_eq!("x".repeat(501).parse::<Title>(), Err(InvalidTitle::TooLong));
        assert!("\u{e9}".repeat(500).parse::<Title>().is_ok());
    }
}
