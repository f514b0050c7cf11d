//! Generates small PDFs for the demo and the tests: pages of plain text in a standard font.

use std::fmt::Write as _;

/// More lines do not fit on a page.
const MAX_LINES: usize = 44;
/// In points.
const FONT_SIZE: u32 = 12;
/// The distance between lines, in points.
const LEADING: u32 = 16;

/// A PDF with one page per text. Lines are not wrapped, and characters outside ASCII become `?`.
pub fn sample_pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(), // the page tree, once the numbers of the pages are known
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut kids = String::new();
    for text in pages {
        let number = objects.len() + 1;
        let _ = write!(kids, "{number} 0 R ");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            number + 1
        ));
        let content = content(text);
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}endstream",
            content.len()
        ));
    }
    objects[1] = format!(
        "<< /Type /Pages /Kids [{}] /Count {} >>",
        kids.trim_end(),
        pages.len()
    );
    file(&objects)
}

fn content(text: &str) -> String {
    let mut content = format!("BT /F1 {FONT_SIZE} Tf {LEADING} TL 72 770 Td\n");
    for line in text.lines().take(MAX_LINES) {
        let line: String = line
            .chars()
            .map(|letter| {
                if letter.is_ascii() && !letter.is_ascii_control() {
                    letter
                } else {
                    '?'
                }
            })
            .collect();
        let line = line
            .replace('\\', "\\\\")
            .replace('(', "\\(")
            .replace(')', "\\)");
        let _ = writeln!(content, "({line}) Tj T*");
    }
    content.push_str("ET\n");
    content
}

/// The PDF file with these objects and their cross-reference table.
fn file(objects: &[String]) -> Vec<u8> {
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let table = file.len();
    let _ = write!(file, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for offset in offsets {
        let _ = writeln!(file, "{offset:010} 00000 n ");
    }
    let _ = write!(
        file,
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1
    );
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_in_the_cross_reference_table_points_to_its_object() {
        let file = String::from_utf8(sample_pdf(&["One (1)", "Two"])).expect("ASCII");
        let table = file.split("xref\n").nth(1).expect("a table");
        for (index, line) in table.lines().skip(2).take(7).enumerate() {
            let offset: usize = line[..10].parse().expect("an offset");
            assert!(file[offset..].starts_with(&format!("{} 0 obj", index + 1)));
        }
        assert!(file.contains("/Count 2") && file.contains("(One \\(1\\)) Tj"));
    }
}
