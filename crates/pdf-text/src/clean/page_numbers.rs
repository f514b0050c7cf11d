//! Page numbers in headers and footers. A number counts as a page number only if it stands where
//! page numbers do: alone, in a cell of its own, after a word for "page", or in "3 of 12". The
//! number of an invoice, a day or an article follows a word and stays.

/// Words before a page number, in lower case.
const PAGE_WORDS: [&str; 24] = [
    "page",
    "pages",
    "p",
    "p.",
    "pg",
    "pg.",
    "seite",
    "s.",
    "página",
    "pagina",
    "pág.",
    "pag.",
    "page:",
    "página:",
    "seite:",
    "strona",
    "str.",
    "sida",
    "side",
    "sivu",
    "oldal",
    "sayfa",
    "стр.",
    "страница",
];
/// Words between a page number and the number of pages, in lower case.
const OF_WORDS: [&str; 11] = [
    "of", "/", "von", "de", "sur", "di", "van", "av", "af", "из", "|",
];
/// Maximum difference between a page number and the number of the page in the file: front matter,
/// or an excerpt. A number that differs more is rather the number of an invoice.
const MAX_OFFSET: i64 = 60;
/// Characters around a page number.
const DECORATION: [char; 10] = ['-', '–', '—', '|', '·', '•', '[', ']', '(', ')'];
/// Marks a page number in a pattern.
const MARK: &str = "\u{0}";

/// The text of a line without its page number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) value: Option<i64>,
}

/// Returns the text of the cells as it is, and without each possible page number.
pub(super) fn patterns(cells: &[String], page_count: u32) -> Vec<Pattern> {
    let mut patterns = vec![Pattern {
        text: cells.join("\t"),
        value: None,
    }];
    for (at, cell) in cells.iter().enumerate() {
        let Some((start, end, value)) = page_number(cell, page_count) else {
            continue;
        };
        let (Some(before), Some(after)) = (cell.get(..start), cell.get(end..)) else {
            continue;
        };
        let mut cells = cells.to_vec();
        if let Some(cell) = cells.get_mut(at) {
            *cell = format!("{before}{MARK}{after}");
        }
        // Left and right pages have the number on opposite sides, which the place distinguishes.
        patterns.push(Pattern {
            text: cells.join("\t"),
            value: Some(value),
        });
    }
    patterns
}

/// Finds the page number in a cell. Returns its byte range and value.
fn page_number(cell: &str, page_count: u32) -> Option<(usize, usize, i64)> {
    let max = i64::from(page_count) + MAX_OFFSET;
    let tokens: Vec<(usize, &str)> = cell
        .split(' ')
        .scan(0, |at, token| {
            let start = *at;
            *at += token.len() + 1;
            Some((start, token))
        })
        .filter(|(_, token)| !token.is_empty())
        .collect();
    let word = |at: usize| tokens.get(at).map(|(_, token)| token.to_lowercase());
    for (at, &(start, token)) in tokens.iter().enumerate() {
        let trimmed = token.trim_start_matches(DECORATION);
        let start = start + token.len() - trimmed.len();
        let trimmed = trimmed
            .trim_end_matches(DECORATION)
            .trim_end_matches([',', '.']);
        // "3/12" in one token.
        let (first, total) = match trimmed.split_once('/') {
            Some((first, total)) => (first, Some(total.to_owned())),
            None => (trimmed, None),
        };
        let Some(value) = whole_number(first).filter(|value| (1..=max).contains(value)) else {
            continue;
        };
        let is_total =
            |total: &str| whole_number(total).is_some_and(|total| (value..=max).contains(&total));
        let of_total = match total {
            Some(total) => is_total(&total),
            None => {
                word(at + 1).is_some_and(|of| OF_WORDS.contains(&of.as_str()))
                    && word(at + 2)
                        .is_some_and(|total| is_total(total.trim_end_matches(DECORATION)))
            }
        };
        let after_page =
            at > 0 && word(at - 1).is_some_and(|before| PAGE_WORDS.contains(&before.as_str()));
        let is_separate = |neighbor: Option<String>| {
            neighbor.is_none_or(|token| token.chars().all(|mark| DECORATION.contains(&mark)))
        };
        // Alone, or separated by a mark: "Annual report | 17".
        let alone = trimmed == first
            && is_separate(at.checked_sub(1).and_then(word))
            && is_separate(word(at + 1));
        if after_page || of_total || alone {
            return Some((start, start + first.len(), value));
        }
    }
    None
}

/// Parses a page number: digits without a leading zero, or Roman numerals.
fn whole_number(token: &str) -> Option<i64> {
    if (1..=4).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit()) {
        return if token.starts_with('0') {
            None
        } else {
            token.parse().ok()
        };
    }
    let is_upper = token.chars().all(char::is_uppercase);
    let is_lower = token.chars().all(char::is_lowercase);
    (is_upper || is_lower).then(|| roman(&token.to_lowercase()))?
}

fn roman(token: &str) -> Option<i64> {
    if token.is_empty() || token.len() > 8 {
        return None;
    }
    let mut total = 0;
    let mut before = 0;
    for character in token.chars().rev() {
        let value = match character {
            'i' => 1,
            'v' => 5,
            'x' => 10,
            'l' => 50,
            'c' => 100,
            _ => return None,
        };
        if value < before {
            total -= value;
        } else {
            total += value;
            before = value;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(cell: &str) -> Option<i64> {
        page_number(cell, 12).map(|(_, _, value)| value)
    }

    #[test]
    fn page_numbers_are_found() {
        for (cell, value) in [
            ("7", 7),
            ("- 7 -", 7),
            ("Page 7", 7),
            ("Seite 7 von 12", 7),
            ("7 of 12", 7),
            ("Page 7/12", 7),
            ("iv", 4),
            ("Annual report | 7", 7),
            ("Acme Corp – Confidential – Page 7", 7),
        ] {
            assert_eq!(number(cell), Some(value), "{cell}");
        }
    }

    #[test]
    fn other_numbers_are_not_page_numbers() {
        for cell in [
            "Day 3",
            "Article 21",
            "Invoice 7",
            "Invoice no. 2024-017",
            "01/12",
            "07/2024",
            "Period 01/2024",
            "1017",
            "Total 3",
            "3 May",
            "Section 3 Fees",
        ] {
            assert_eq!(number(cell), None, "{cell}");
        }
    }

    #[test]
    fn the_pattern_is_the_line_without_the_number() {
        let cells = ["The Manual".to_owned(), "12".to_owned()];
        let found = patterns(&cells, 40);
        assert_eq!(
            found.get(1),
            Some(&Pattern {
                text: format!("The Manual\t{MARK}"),
                value: Some(12)
            })
        );
    }
}
