use super::*;
use crate::layout::{Glyph, PageBuilder, lay_out};

/// Distance of the lines of the body, in points.
const LEADING: f64 = 12.0;

/// A line of text: the position, the font size, and the text. Cells are separated by `|`.
type Line<'text> = (f64, f64, &'text str);

fn page(lines: &[Line<'_>]) -> PageLines {
    let mut builder = PageBuilder::new(600.0, 800.0);
    for &(y, em, line) in lines {
        for (cell, start) in line.split('|').zip([50.0, 250.0, 450.0]) {
            let mut x = start;
            for character in cell.chars() {
                builder.push(&Glyph {
                    text: character.encode_utf8(&mut [0; 4]),
                    x,
                    y,
                    advance_x: em / 2.0,
                    advance_y: 0.0,
                    em,
                });
                x += em / 2.0;
            }
        }
    }
    lay_out(builder)
}

/// A body of different lines from `top` to `bottom`.
fn body(number: usize, top: f64, bottom: f64) -> Vec<(f64, f64, String)> {
    let mut lines = Vec::new();
    let mut y = top;
    while y <= bottom {
        let text = format!(
            "sentence {} of the text on this page",
            number * 97 + lines.len()
        );
        lines.push((y, 10.0, text));
        y += LEADING;
    }
    lines
}

/// Returns the lines that are kept of each page, without the body.
fn kept(pages: &[Vec<Line<'_>>], top: f64, bottom: f64) -> Vec<Vec<String>> {
    let numbered: Vec<(u32, PageLines)> = (1..)
        .zip(pages)
        .map(|(number, lines)| {
            let body = body(number as usize, top, bottom);
            let mut all: Vec<Line<'_>> = lines.clone();
            all.extend(body.iter().map(|(y, em, text)| (*y, *em, text.as_str())));
            (number, page(&all))
        })
        .collect();
    let removed = find(&numbered);
    numbered
        .iter()
        .zip(removed)
        .map(|((_, page), removed)| {
            page.lines
                .iter()
                .zip(removed)
                .filter(|(_, removed)| !removed)
                .map(|(line, _)| {
                    let words: Vec<&str> = line.words.iter().map(|word| page.word(word)).collect();
                    words.join(" ")
                })
                .filter(|line| !line.starts_with("sentence"))
                .collect()
        })
        .collect()
}

#[test]
fn the_first_copy_of_a_header_and_a_page_number_is_kept() {
    let texts: Vec<String> = (1..=5)
        .map(|number| format!("Page {number} of 5"))
        .collect();
    let pages: Vec<Vec<Line<'_>>> = texts
        .iter()
        .map(|number| vec![(30.0, 9.0, "The Manual"), (780.0, 9.0, number.as_str())])
        .collect();
    let mut expected = vec![vec![]; 5];
    expected[0] = vec!["The Manual".to_owned(), "Page 1 of 5".to_owned()];
    assert_eq!(kept(&pages, 80.0, 740.0), expected);
}

#[test]
fn headers_of_alternating_pages_are_removed() {
    let pages: Vec<Vec<Line<'_>>> = (1..=8)
        .map(|number| {
            let header = if number % 2 == 0 {
                "The Manual"
            } else {
                "Chapter 3"
            };
            vec![(30.0, 9.0, header)]
        })
        .collect();
    let kept = kept(&pages, 80.0, 740.0);
    assert_eq!(kept.concat(), ["Chapter 3", "The Manual"]);
}

#[test]
fn numbers_that_follow_a_word_are_content() {
    for word in ["Invoice", "Article", "Day", "Period 0"] {
        let texts: Vec<String> = (1..=6).map(|number| format!("{word} {number}")).collect();
        let pages: Vec<Vec<Line<'_>>> = texts
            .iter()
            .map(|text| vec![(30.0, 10.0, text.as_str())])
            .collect();
        assert_eq!(kept(&pages, 80.0, 740.0).concat(), texts, "{word}");
    }
}

#[test]
fn rows_and_the_names_of_columns_are_content() {
    let rows = |first: f64| -> Vec<Line<'static>> {
        vec![
            (first, 10.0, "Date|Payment|Amount"),
            (first + 16.0, 10.0, "01/02|Standing order|500.00"),
            (first + 28.0, 10.0, "07/02|Card payment|12.50"),
        ]
    };
    let pages: Vec<Vec<Line<'_>>> = (0..5).map(|_| rows(40.0)).collect();
    let kept = kept(&pages, 110.0, 740.0);
    assert!(kept.iter().all(|lines| lines.len() == 3), "{kept:?}");
}

#[test]
fn a_repeated_last_row_of_the_body_is_content() {
    let pages: Vec<Vec<Line<'_>>> = (0..5)
        .map(|_| vec![(752.0, 10.0, "Balance brought forward")])
        .collect();
    let kept = kept(&pages, 80.0, 740.0);
    assert_eq!(kept.concat().len(), 5);
}

#[test]
fn a_heading_is_content() {
    let pages: Vec<Vec<Line<'_>>> = (0..5).map(|_| vec![(40.0, 16.0, "Payslip")]).collect();
    assert_eq!(kept(&pages, 100.0, 740.0).concat().len(), 5);
}

#[test]
fn a_line_that_occurs_twice_is_kept() {
    let pages: Vec<Vec<Line<'_>>> = (0..2).map(|_| vec![(30.0, 9.0, "Twice")]).collect();
    assert_eq!(kept(&pages, 80.0, 740.0).concat().len(), 2);
}

#[test]
fn pages_with_nothing_else_keep_their_lines() {
    let pages: Vec<Vec<Line<'_>>> = (0..4).map(|_| vec![(30.0, 9.0, "Potato")]).collect();
    assert_eq!(kept(&pages, 900.0, 0.0).concat().len(), 4);
}

#[test]
fn page_numbers_in_roman_numerals_are_removed() {
    let numerals = ["iii", "iv", "v", "vi"];
    let pages: Vec<Vec<Line<'_>>> = numerals
        .iter()
        .map(|number| vec![(780.0, 9.0, *number)])
        .collect();
    assert_eq!(kept(&pages, 80.0, 740.0).concat(), ["iii"]);
}

#[test]
fn amounts_are_recognized() {
    for amount in [
        "25.00", "1,250.50", "1.250,50", "(12.00)", "-3.10", "€5", "5€",
    ] {
        assert!(is_amount(amount), "{amount}");
    }
    for other in ["2024", "3.2", "12.05.24", "v1.10", "10:30", "9001", "A.12"] {
        assert!(!is_amount(other), "{other}");
    }
}

#[test]
fn a_total_that_is_the_same_on_each_page_is_kept() {
    let pages: Vec<Vec<Line<'_>>> = (0..5)
        .map(|_| {
            vec![
                (60.0, 9.0, "Berg & Son Ltd"),
                (760.0, 9.0, "Total due 25.00"),
            ]
        })
        .collect();
    let kept = kept(&pages, 150.0, 650.0);
    assert!(
        kept.iter()
            .all(|lines| lines.contains(&"Total due 25.00".to_owned())),
        "{kept:?}"
    );
    assert!(!kept[3].contains(&"Berg & Son Ltd".to_owned()), "{kept:?}");
}
