//! Newsletters: a title, columns with headings and paragraphs, and a footnote.

use super::helvetica::wrap;
use super::{Labelled, phrase};
use crate::pdf::{Pdf, line};
use crate::random::Random;

const HEIGHT: f64 = 800.0;
const LEFT: f64 = 40.0;
const WIDTH: f64 = 520.0;
/// Distance between columns, in points.
const GUTTER: f64 = 18.0;
const SIZE: f64 = 9.0;
const LEADING: f64 = 11.0;
/// Top and bottom of the columns, in points from the top.
const TOP: f64 = 120.0;
const BOTTOM: f64 = 720.0;

/// Returns a document with one page.
pub(super) fn document(random: &mut Random) -> Labelled {
    let columns = 2 + random.below(2);
    let count = f64::from(u32::try_from(columns).unwrap_or(1));
    let width = (WIDTH - GUTTER * (count - 1.0)) / count;
    let title = phrase(random, 4);
    let mut content = line(LEFT, HEIGHT - 70.0, 20.0, &title);
    let mut lines = vec![title];
    let mut left = LEFT;
    for _ in 0..columns {
        let heading = phrase(random, 2);
        content += &line(left, HEIGHT - TOP, 12.0, &heading);
        lines.push(heading);
        let mut y = TOP + 20.0;
        while y < BOTTOM - 8.0 * LEADING {
            // Sentences, so that some lines start with a capital.
            let sentences: Vec<String> = (0..3 + random.below(3))
                .map(|_| {
                    let words = 8 + random.below(12);
                    phrase(random, words) + "."
                })
                .collect();
            let paragraph = sentences.join(" ");
            for text in wrap(&paragraph, SIZE, width) {
                content += &line(left, HEIGHT - y, SIZE, &text);
                y += LEADING;
            }
            y += 0.8 * LEADING;
            lines.push(paragraph);
        }
        left += width + GUTTER;
    }
    let note = format!("1 {}.", phrase(random, 6));
    content += &line(LEFT, 30.0, 7.0, &note);
    lines.push(note);
    let mut pdf = Pdf::default();
    let page = pdf.page(&content, "", "");
    Labelled {
        file: pdf.finish(&[page]),
        lines,
    }
}
