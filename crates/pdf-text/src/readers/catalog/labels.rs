//! Printed page labels, such as `iv` or `A-3`.

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object, String as PdfString};

use super::{MAX_TREE_DEPTH, printable};
use crate::readers::form_fields::decode;
use crate::report::MAX_LABEL_CHARACTERS;

/// Ranges of pages with the same style of labels.
#[derive(Debug, Default)]
pub(in crate::readers) struct Labels(Vec<Range>);

#[derive(Debug)]
struct Range {
    /// Index of its first page.
    first: u32,
    style: Style,
    prefix: String,
    /// Number of its first page.
    start: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    None,
    Decimal,
    Roman { upper: bool },
    Letters { upper: bool },
}

impl Labels {
    pub(in crate::readers) fn of(catalog: &Dict<'_>) -> Self {
        let mut ranges = Vec::new();
        if let Some(tree) = catalog.get::<Dict<'_>>(b"PageLabels") {
            collect(&tree, 0, &mut ranges);
        }
        ranges.sort_by_key(|range| range.first);
        Self(ranges)
    }

    /// Returns the label of a page. `None` if it is the number of the page.
    pub(in crate::readers) fn of_page(&self, number: u32) -> Option<String> {
        let index = number.checked_sub(1)?;
        let range = self.0.iter().rev().find(|range| range.first <= index)?;
        let count = range.start.saturating_add(index - range.first);
        let digits = match range.style {
            Style::None => String::new(),
            Style::Decimal => count.to_string(),
            Style::Roman { upper } => cased(roman(count), upper),
            Style::Letters { upper } => cased(letters(count), upper),
        };
        let label = printable(&format!("{}{digits}", range.prefix), MAX_LABEL_CHARACTERS);
        (!label.is_empty() && label != number.to_string()).then_some(label)
    }
}

fn collect(tree: &Dict<'_>, depth: usize, ranges: &mut Vec<Range>) {
    if depth > MAX_TREE_DEPTH {
        return;
    }
    if let Some(entries) = tree.get::<Array<'_>>(b"Nums") {
        let mut first = None;
        for entry in entries.iter::<Object<'_>>() {
            match entry {
                Object::Number(number) => first = u32::try_from(number.as_i64()).ok(),
                Object::Dict(style) => ranges.extend(first.take().map(|first| {
                    Range {
                        first,
                        style: Style::of(&style),
                        prefix: style
                            .get::<PdfString<'_>>(b"P")
                            .map(|prefix| decode(prefix.as_bytes()))
                            .unwrap_or_default(),
                        start: style.get::<u32>(b"St").unwrap_or(1),
                    }
                })),
                _ => {}
            }
        }
    }
    if let Some(kids) = tree.get::<Array<'_>>(b"Kids") {
        for kid in kids.iter::<Dict<'_>>() {
            collect(&kid, depth + 1, ranges);
        }
    }
}

impl Style {
    fn of(range: &Dict<'_>) -> Self {
        match range.get::<Name<'_>>(b"S").as_deref() {
            Some(b"D") => Self::Decimal,
            Some(b"R") => Self::Roman { upper: true },
            Some(b"r") => Self::Roman { upper: false },
            Some(b"A") => Self::Letters { upper: true },
            Some(b"a") => Self::Letters { upper: false },
            _ => Self::None,
        }
    }
}

fn cased(label: String, upper: bool) -> String {
    if upper { label.to_uppercase() } else { label }
}

fn roman(number: u32) -> String {
    const NUMERALS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    let mut rest = number.min(9_999);
    let mut label = String::new();
    for (value, numeral) in NUMERALS {
        while rest >= value {
            label.push_str(numeral);
            rest -= value;
        }
    }
    label
}

/// `a` to `z`, then `aa` to `zz`.
fn letters(number: u32) -> String {
    let index = number.saturating_sub(1);
    let letter = char::from(b'a' + u8::try_from(index % 26).unwrap_or(0));
    let repeats = usize::try_from(index / 26 + 1).unwrap_or(1);
    letter.to_string().repeat(repeats.min(MAX_LABEL_CHARACTERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_their_style() {
        let range = |first, style, prefix: &str, start| Range {
            first,
            style,
            prefix: prefix.to_owned(),
            start,
        };
        let labels = Labels(vec![
            range(0, Style::Roman { upper: false }, "", 1),
            range(4, Style::Decimal, "", 1),
            range(6, Style::Letters { upper: true }, "App-", 27),
        ]);
        let printed: Vec<Option<String>> = (1..=7).map(|page| labels.of_page(page)).collect();
        let expected = ["i", "ii", "iii", "iv", "1", "2", "App-AA"];
        assert_eq!(printed, expected.map(|label| Some(label.to_owned())));
        assert_eq!(Labels::default().of_page(3), None);
    }
}
