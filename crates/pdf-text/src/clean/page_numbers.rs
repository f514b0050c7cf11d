//! Page numbers in headers and footers. A number counts as a page number only if it stands where
//! page numbers do: alone, at the margin apart from the title, after a word for "page", or in
//! "3 of 12". The number of an invoice, a period or an article follows its name and stays, even if
//! it is in a cell of its own.

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
/// Words before a number other than a page number, in lower case and without a final dot.
const LABELS: [&str; 42] = [
    "no", "nr", "num", "number", "nummer", "numéro", "número", "numero", "n°", "nº", "№", "id",
    "ref", "invoice", "rechnung", "facture", "factura", "fattura", "order", "period", "periode",
    "période", "periodo", "month", "monat", "mois", "mes", "week", "woche", "semaine", "day",
    "tag", "jour", "customer", "account", "total", "sum", "quantity", "qty", "count", "room",
    "lot",
];
/// Minimum distance of a page number from the title of the page, as a share of the page's width. The
/// value of a form is closer to its name.
const MIN_APART_SHARE: f32 = 0.2;
/// Minimum distance of a page number in the middle of a header from the cells beside it, and maximum
/// distance from the middle of the page, as shares of the page's width.
const MIN_MIDDLE_APART_SHARE: f32 = 0.1;
const MAX_OFF_MIDDLE_SHARE: f32 = 0.05;
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

/// A part of a line that gaps separate from the others.
#[derive(Debug, Clone)]
pub(super) struct HeaderCell {
    pub(super) text: String,
    /// Left and right edge, in points.
    pub(super) from: f32,
    pub(super) to: f32,
}

/// Returns the text of the cells as it is, and without each possible page number.
pub(super) fn patterns(cells: &[HeaderCell], page_count: u32, width: f32) -> Vec<Pattern> {
    let texts: Vec<&str> = cells.iter().map(|cell| cell.text.as_str()).collect();
    let mut patterns = vec![Pattern {
        text: texts.join("\t"),
        value: None,
    }];
    for (at, cell) in texts.iter().enumerate() {
        let Some((start, end, value)) = page_number(cell, page_count) else {
            continue;
        };
        let (Some(before), Some(after)) = (cell.get(..start), cell.get(end..)) else {
            continue;
        };
        let is_whole_cell = format!("{before}{after}")
            .chars()
            .all(|mark| mark == ' ' || DECORATION.contains(&mark));
        if is_whole_cell && !stands_apart(cells, at, width) {
            continue;
        }
        let pattern = format!("{before}{MARK}{after}");
        let mut texts = texts.clone();
        if let Some(cell) = texts.get_mut(at) {
            *cell = &pattern;
        }
        // Left and right pages have the number on opposite sides, which the place distinguishes.
        patterns.push(Pattern {
            text: texts.join("\t"),
            value: Some(value),
        });
    }
    patterns
}

/// Whether a word, in lower case, names another number than a page number.
fn is_label(word: &str) -> bool {
    !PAGE_WORDS.contains(&word)
        && (word.ends_with([':', '#']) || LABELS.contains(&word.trim_end_matches('.')))
}

/// Whether a number in a cell of its own stands where page numbers do, and not after its name.
fn stands_apart(cells: &[HeaderCell], at: usize, width: f32) -> bool {
    let Some(cell) = cells.get(at) else {
        return false;
    };
    let before = at.checked_sub(1).and_then(|before| cells.get(before));
    let after = cells.get(at + 1);
    if let Some(before) = before {
        let last_word = before.text.rsplit(' ').next().unwrap_or_default();
        let last_word = last_word.to_lowercase();
        if PAGE_WORDS.contains(&last_word.as_str()) {
            return true;
        }
        if is_label(&last_word) {
            return false;
        }
    }
    let apart = |from: f32, to: f32, share: f32| to - from >= share * width;
    match (before, after) {
        (None, _) => true,
        (Some(before), None) => apart(before.to, cell.from, MIN_APART_SHARE),
        (Some(before), Some(after)) => {
            let off_middle = (f32::midpoint(cell.from, cell.to) - width / 2.0).abs();
            cells.len() == 3
                && off_middle <= MAX_OFF_MIDDLE_SHARE * width
                && apart(before.to, cell.from, MIN_MIDDLE_APART_SHARE)
                && apart(cell.to, after.from, MIN_MIDDLE_APART_SHARE)
        }
    }
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
        let after_label = at > 0 && word(at - 1).is_some_and(|before| is_label(&before));
        if after_label {
            continue;
        }
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
            "Month 3 of 12",
            "Period 5/12",
        ] {
            assert_eq!(number(cell), None, "{cell}");
        }
    }

    #[test]
    fn the_pattern_is_the_line_without_the_number() {
        let cells = cells(&[(50.0, "The Manual"), (540.0, "12")]);
        let found = patterns(&cells, 40, 600.0);
        assert_eq!(
            found.get(1),
            Some(&Pattern {
                text: format!("The Manual\t{MARK}"),
                value: Some(12)
            })
        );
    }

    fn cells(cells: &[(f32, &str)]) -> Vec<HeaderCell> {
        cells
            .iter()
            .map(|(from, text)| HeaderCell {
                text: (*text).to_owned(),
                from: *from,
                to: from + 5.0 * f32::from(u8::try_from(text.len()).unwrap()),
            })
            .collect()
    }

    #[test]
    fn a_number_in_a_cell_of_its_own_is_a_page_number_only_apart_from_other_cells() {
        let is_found = |line: &[(f32, &str)]| patterns(&cells(line), 12, 600.0).len() > 1;
        for page_number in [
            &[(50.0, "The Manual"), (540.0, "7")][..],
            &[(50.0, "7"), (100.0, "The Manual")],
            &[(50.0, "The Manual"), (298.0, "7"), (450.0, "May 2024")],
            &[(400.0, "Page"), (430.0, "7")],
            &[(298.0, "7")],
        ] {
            assert!(is_found(page_number), "{page_number:?}");
        }
        for value in [
            &[(50.0, "Berg & Son"), (380.0, "Invoice No."), (540.0, "7")][..],
            &[
                (50.0, "Payslip"),
                (250.0, "Period"),
                (300.0, "7"),
                (450.0, "Employee 4711"),
            ],
            &[(50.0, "Month:"), (540.0, "7")],
            &[(400.0, "Berth"), (450.0, "7")],
        ] {
            assert!(!is_found(value), "{value:?}");
        }
    }
}
