//! Entry names derived from document titles: safe on every file system and unique.

/// Maximum length of a title in a file name, in characters.
const MAX_TITLE_CHARS: usize = 80;

/// For example `documents/003 Annual report.pdf`. The number makes names unique and keeps their
/// order.
pub(super) fn entry(folder: &str, number: usize, title: &str, extension: &str) -> String {
    let title = sanitize(title);
    let space = if title.is_empty() { "" } else { " " };
    format!("{folder}/{number:03}{space}{title}.{extension}")
}

/// Removes path separators, control characters and characters that are special to a file system.
fn sanitize(title: &str) -> String {
    let safe: String = title
        .chars()
        .map(|letter| match letter {
            letter if letter.is_control() => ' ',
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '-',
            // Bidirectional control characters can disguise the file extension.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            letter => letter,
        })
        .take(MAX_TITLE_CHARS)
        .collect();
    let words: Vec<&str> = safe.split_whitespace().collect();
    words.join(" ").trim_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_title_escapes_the_folder(title in "\\PC{0,120}|[./\\\\\\x00-\\x1f]{0,40}", number in 0usize..5000) {
            let name = entry("documents", number, &title, "pdf");
            prop_assert_eq!(name.matches('/').count(), 1, "{}", name);
            prop_assert!(!name.contains('\\') && !name.contains("/.") && !name.chars().any(char::is_control));
            prop_assert!(name.starts_with("documents/"));
            prop_assert_eq!(name.rsplit('.').next(), Some("pdf"));
        }

        #[test]
        fn numbers_make_equal_titles_unique(one in 0usize..2000, other in 0usize..2000, title in "\\PC{0,90}") {
            let same = entry("text", one, &title, "txt") == entry("text", other, &title, "txt");
            prop_assert_eq!(same, one == other);
        }
    }

    #[test]
    fn titles_stay_readable() {
        assert_eq!(
            entry("documents", 3, "Q1/Q2: report?", "pdf"),
            "documents/003 Q1-Q2- report-.pdf"
        );
        assert_eq!(
            entry("documents", 12, "../..", "pdf"),
            "documents/012 -.pdf"
        );
        assert_eq!(entry("text", 1, " . ", "txt"), "text/001.txt");
    }
}
