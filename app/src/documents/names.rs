//! What files and documents are called: one printable line, cut where the tables end.

use std::str::FromStr;

/// Characters of a file's name at most.
const FILE_NAME_CHARS_MAX: usize = 255;
/// Characters of a title at most.
pub const TITLE_CHARS_MAX: usize = 500;

/// The name of an uploaded file, without folders. Only shown: no path or key is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Makes a name of whatever a browser says: there is always one.
    pub fn from_upload(text: &str) -> Self {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = printable(last, FILE_NAME_CHARS_MAX);
        if name.is_empty() {
            Self("document.pdf".to_owned())
        } else {
            Self(name)
        }
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the document is called until somebody renames it.
    pub fn title(&self) -> Title {
        let stem = match self.0.rsplit_once('.') {
            Some((stem, ending)) if ending.eq_ignore_ascii_case("pdf") => stem.trim(),
            _ => &self.0,
        };
        Title(if stem.is_empty() { &self.0 } else { stem }.to_owned())
    }
}

/// What people call a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

/// A text is no title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATitle {
    /// Nothing of it can be seen.
    #[error("a document needs a title")]
    Empty,
    /// It does not fit.
    #[error("a title has at most {TITLE_CHARS_MAX} characters")]
    TooLong,
}

impl Title {
    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = NotATitle;

    fn from_str(text: &str) -> Result<Self, NotATitle> {
        let title = printable(text, usize::MAX);
        match title.chars().count() {
            0 => Err(NotATitle::Empty),
            1..=TITLE_CHARS_MAX => Ok(Self(title)),
            _ => Err(NotATitle::TooLong),
        }
    }
}

/// One line: what cannot be seen is gone (also what reverses the direction of writing, which makes `fdp.exe` of `exe.pdf`),
/// white space is single.
fn printable(text: &str, chars_max: usize) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let line: Vec<&str> = visible.split_whitespace().collect();
    line.join(" ")
        .chars()
        .take(chars_max)
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
        fn whatever_a_browser_says_becomes_a_name_and_a_title_that_fit(text in any::<String>()) {
            let name = FileName::from_upload(&text);
            prop_assert!((1..=255).contains(&name.as_str().chars().count()));
            prop_assert!(!name.as_str().contains(['/', '\\']));
            prop_assert!(!name.as_str().chars().any(char::is_control));
            let title = name.title();
            prop_assert_eq!(title.as_str().parse(), Ok(title.clone()));
        }
    }

    #[test]
    fn folders_and_the_ending_are_not_part_of_the_title() {
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
    fn a_title_is_not_empty_and_not_endless() {
        assert_eq!("  \u{200b} ".parse::<Title>(), Err(NotATitle::Empty));
        assert_eq!("x".repeat(501).parse::<Title>(), Err(NotATitle::TooLong));
        assert!("\u{e9}".repeat(500).parse::<Title>().is_ok());
    }
}
