//! Extracted text: words with positions, lines in order, clean text.

use std::fmt::Write as _;

use pdf_text::{Extraction, Limits, Page, Progress, Word};

use crate::pdf::{Pdf, document, line};
use crate::{extract, extractor, texts};

async fn read(file: &[u8]) -> Extraction {
    extract(Limits::default(), file)
        .await
        .expect("the document can be read")
}

/// Extracts a document with one page.
async fn page(content: &str, entries: &str) -> Page {
    let mut pdf = Pdf::default();
    let page = pdf.page(content, "", entries);
    let mut extraction = read(&pdf.finish(&[page])).await;
    extraction.pages.pop().expect("the document has a page")
}

fn word<'a>(page: &'a Page, text: &str) -> &'a Word {
    page.words
        .iter()
        .find(|word| page.word_text(word) == text)
        .unwrap_or_else(|| panic!("{text:?} is not among the words of {:?}", page.text))
}

#[track_caller]
fn assert_near(word: &Word, x: f32, y: f32, width: f32, height: f32) {
    let close = |a: f32, b: f32| (a - b).abs() <= 1.5;
    assert!(
        close(word.x, x)
            && close(word.y, y)
            && close(word.width, width)
            && close(word.height, height),
        "{word:?} is not at {x} {y}, {width} by {height}"
    );
}

#[tokio::test]
async fn words_have_their_position_on_the_page() {
    let page = page(&line(72.0, 700.0, 12.0, "Hello placed world"), "").await;
    assert_eq!((page.number, page.width, page.height), (1, 600.0, 800.0));
    assert_eq!(page.text, "Hello placed world");
    // Helvetica's letters have published widths: Hello is 2.278 em.
    assert_near(word(&page, "Hello"), 72.0, 90.6, 27.3, 12.0);
    assert_near(word(&page, "placed"), 102.7, 90.6, 34.7, 12.0);
}

#[tokio::test]
async fn positions_follow_the_rotation_of_the_page() {
    let page = page(&line(72.0, 700.0, 12.0, "Hello"), "/Rotate 90").await;
    assert_eq!((page.width, page.height), (800.0, 600.0));
    assert_near(word(&page, "Hello"), 697.4, 72.0, 12.0, 27.3);
}

#[tokio::test]
async fn positions_are_relative_to_the_crop_box() {
    let page = page(
        &format!(
            "{}{}",
            line(150.0, 700.0, 12.0, "Hello"),
            line(10.0, 20.0, 12.0, "outside")
        ),
        "/CropBox [100 100 500 750]",
    )
    .await;
    assert_eq!((page.width, page.height), (400.0, 650.0));
    assert_eq!(page.text, "Hello", "invisible text is ignored");
    assert_near(word(&page, "Hello"), 50.0, 40.6, 27.3, 12.0);
}

#[tokio::test]
async fn the_text_of_a_form_is_where_the_form_is_drawn() {
    let mut pdf = Pdf::default();
    let font = pdf.helvetica();
    let form = pdf.stream(
        &format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Matrix [1 0 0 1 0 100] /Resources << /Font << /F {font} >> >>"
        ),
        line(10.0, 20.0, 12.0, "inside").as_bytes(),
    );
    let page = pdf.page(
        &format!(
            "q 2 0 0 2 100 200 cm /X Do Q {}",
            line(72.0, 700.0, 12.0, "before")
        ),
        &format!("/XObject << /X {form} >>"),
        "",
    );
    let extraction = read(&pdf.finish(&[page])).await;
    let page = extraction.pages.first().unwrap();
    // 2 * (20 + 100) + 200 = 440 from below, 24 points high.
    assert_near(
        word(page, "inside"),
        120.0,
        800.0 - 440.0 - 18.7,
        62.7,
        24.0,
    );
    assert_eq!(page.text, "before\n\ninside");
}

#[tokio::test]
async fn a_word_broken_at_the_end_of_a_line_is_one_word_with_two_positions() {
    let page = page(
        &[
            line(
                72.0,
                700.0,
                10.0,
                "The quick brown fox jumps over the lazy ex-",
            ),
            line(
                72.0,
                688.0,
                10.0,
                "ample that goes on for a whole line as well",
            ),
            line(72.0, 676.0, 10.0, "and ends."),
        ]
        .concat(),
        "",
    )
    .await;
    assert_eq!(
        page.text,
        "The quick brown fox jumps over the lazy example that goes on for a whole line as well and ends."
    );
    let at = page.text.find("example").unwrap();
    let parts: Vec<&str> = page
        .words_in(at..at + 7)
        .iter()
        .map(|word| page.word_text(word))
        .collect();
    assert_eq!(parts, ["ex", "ample"]);
}

#[tokio::test]
async fn paragraphs_are_separated_and_short_lines_keep_their_breaks() {
    let page = page(
        &[
            line(72.0, 740.0, 18.0, "A heading"),
            line(
                72.0,
                700.0,
                10.0,
                "A paragraph of prose that fills its line to the end",
            ),
            line(72.0, 688.0, 10.0, "and goes on."),
            line(72.0, 660.0, 10.0, "let x = 1;"),
            line(72.0, 648.0, 10.0, "let y = 2;"),
        ]
        .concat(),
        "",
    )
    .await;
    assert_eq!(
        page.text,
        "A heading\n\nA paragraph of prose that fills its line to the end and goes on.\n\nlet x = 1;\nlet y = 2;"
    );
}

#[tokio::test]
async fn columns_are_read_one_after_the_other() {
    let mut content = line(
        72.0,
        760.0,
        16.0,
        "A title above both of the columns of this page",
    );
    for row in 0..20 {
        let y = 720.0 - 12.0 * f64::from(row);
        content += &line(
            72.0,
            y,
            10.0,
            &format!("left{row} words of the left column fill it"),
        );
        content += &line(
            320.0,
            y,
            10.0,
            &format!("right{row} words of the right column do"),
        );
    }
    let page = page(&content, "").await;
    let at = |text: &str| {
        page.text
            .find(text)
            .unwrap_or_else(|| panic!("{text} in {}", page.text))
    };
    assert!(at("title") < at("left0"));
    assert!(at("left19") < at("right0"));
}

#[tokio::test]
async fn a_table_is_read_row_by_row() {
    let mut content = line(
        72.0,
        760.0,
        10.0,
        "A sentence above the table that is as wide as the page is, or nearly so, at least",
    );
    for row in 0..20 {
        let y = 720.0 - 12.0 * f64::from(row);
        content += &line(72.0, y, 10.0, &format!("item{row}"));
        content += &line(400.0, y, 10.0, &format!("price{row}"));
    }
    let page = page(&content, "").await;
    assert!(
        page.text.contains("item0\tprice0\nitem1\tprice1\n"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn headers_and_page_numbers_do_not_interrupt_the_text() {
    let mut pdf = Pdf::default();
    let pages: Vec<_> = (1..=5)
        .map(|number| {
            let content = [
                line(72.0, 780.0, 9.0, "Handbook of Examples"),
                line(72.0, 600.0, 10.0, &format!("Text of page number {number}.")),
                line(290.0, 20.0, 9.0, &number.to_string()),
            ]
            .concat();
            pdf.page(&content, "", "")
        })
        .collect();
    let extraction = read(&pdf.finish(&pages)).await;
    let mut expected: Vec<String> = (1..=5)
        .map(|number| format!("Text of page number {number}."))
        .collect();
    // The first copy is kept.
    expected[0] = "Handbook of Examples\n\nText of page number 1.\n\n1".to_owned();
    assert_eq!(texts(&extraction), expected);
}

#[tokio::test]
async fn values_in_step_with_the_pages_are_not_page_numbers() {
    let mut pdf = Pdf::default();
    let pages: Vec<_> = (1..=6)
        .map(|number| {
            let number = number.to_string();
            let content = [
                line(50.0, 770.0, 10.0, "Payslip"),
                line(250.0, 770.0, 10.0, "Period"),
                line(300.0, 770.0, 10.0, &number),
                line(450.0, 770.0, 10.0, "Employee 4711"),
                line(72.0, 600.0, 10.0, &format!("Net pay {number}00.00")),
                line(50.0, 30.0, 10.0, "Berg & Son Ltd"),
                line(380.0, 30.0, 10.0, "Invoice no."),
                line(540.0, 30.0, 10.0, &number),
            ]
            .concat();
            pdf.page(&content, "", "")
        })
        .collect();
    let extraction = read(&pdf.finish(&pages)).await;
    for page in &extraction.pages {
        let number = page.number;
        for line in [
            format!("Payslip\tPeriod\t{number}\tEmployee 4711"),
            format!("Berg & Son Ltd\tInvoice no.\t{number}"),
        ] {
            assert!(
                page.text.contains(&line),
                "{line:?} is not in {:?}",
                page.text
            );
        }
    }
}

#[tokio::test]
async fn pages_with_a_single_line_keep_it() {
    let extraction = read(&document(&["Potato 1", "Potato 2", "Potato 3", "Potato 4"])).await;
    assert_eq!(
        texts(&extraction),
        ["Potato 1", "Potato 2", "Potato 3", "Potato 4"]
    );
}

#[tokio::test]
async fn dot_leaders_are_removed() {
    let page = page(
        &[
            line(
                72.0,
                700.0,
                10.0,
                "1 Introduction . . . . . . . . . . . . . . . . . . 7",
            ),
            line(
                72.0,
                688.0,
                10.0,
                "2 Conclusion ........................................ 12",
            ),
        ]
        .concat(),
        "",
    )
    .await;
    assert_eq!(page.text, "1 Introduction\t7\n2 Conclusion\t12");
}

#[tokio::test]
async fn letters_drawn_twice_are_read_once() {
    let page = page(
        &[
            line(72.0, 700.0, 12.0, "Bold title"),
            line(72.4, 700.0, 12.0, "Bold title"),
        ]
        .concat(),
        "",
    )
    .await;
    assert_eq!(page.text, "Bold title");
}

#[tokio::test]
async fn letter_spaced_words_are_words() {
    let page = page(
        "BT /F 12 Tf 2.2 Tc 72 700 Td (North) Tj 8 0 Td 45 0 Td (Street) Tj ET",
        "",
    )
    .await;
    assert_eq!(page.text, "North Street");
}

#[tokio::test]
async fn every_word_is_in_the_text_and_on_the_page() {
    let mut content = String::new();
    for step in 0..40 {
        let step = f64::from(step);
        // Some text crosses an edge of the page, some is rotated, some is tiny.
        let _ = writeln!(
            content,
            "BT /F {} Tf {} {} {} {} {} {} Tm (turned words \\(and marks\\)) Tj ET",
            1.0 + step / 4.0,
            (step * 9.0).to_radians().cos(),
            (step * 9.0).to_radians().sin(),
            -(step * 9.0).to_radians().sin(),
            (step * 9.0).to_radians().cos(),
            step * 17.0 - 40.0,
            step * 23.0 - 40.0,
        );
    }
    let page = page(&content, "").await;
    assert!(page.words.len() > 40);
    let mut end = 0;
    for word in &page.words {
        assert!(
            word.range().start >= end,
            "words are in the order of the text"
        );
        end = word.range().end;
        assert!(
            !page.word_text(word).is_empty() && !page.word_text(word).contains(char::is_whitespace)
        );
        assert!(
            word.x >= 0.0 && word.x + word.width <= page.width + 0.2,
            "{word:?}"
        );
        assert!(
            word.y >= 0.0 && word.y + word.height <= page.height + 0.2,
            "{word:?}"
        );
    }
    let between: String = page
        .text
        .char_indices()
        .filter(|(at, _)| !page.words.iter().any(|word| word.range().contains(at)))
        .map(|(_, character)| character)
        .collect();
    assert!(
        between.chars().all(char::is_whitespace),
        "{between:?} is not part of a word"
    );
}

#[tokio::test]
async fn progress_is_reported_from_the_first_page_to_the_last() {
    let file = document(&["one line of text on each page"; 70]);
    let mut reported = Vec::new();
    extractor(Limits::default())
        .extract(file.as_slice(), |progress| reported.push(progress))
        .await
        .unwrap();
    let of = |read| Progress { read, pages: 70 };
    assert_eq!(reported, [of(0), of(32), of(64), of(70)]);
}

#[tokio::test]
async fn form_values_are_read_whether_or_not_the_file_draws_them() {
    let mut pdf = Pdf::default();
    let font = pdf.helvetica();
    let drawn = pdf.stream(
        &format!("/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F {font} >> >>"),
        line(2.0, 5.0, 10.0, "drawn").as_bytes(),
    );
    let parent = pdf.object("<< /FT /Tx /V <FEFF0041006C006900630065> >>");
    let fields = [
        format!("/Rect [100 600 300 620] /FT /Tx /V (drawn) /AP << /N {drawn} >>"),
        format!("/Rect [100 500 300 520] /Parent {parent}"),
        "/Rect [100 400 300 420] /FT /Tx /V (unseen) /F 2".to_owned(),
        "/Rect [100 300 300 320] /FT /Tx /V (secret) /Ff 8192".to_owned(),
        "/Rect [100 200 300 240] /FT /Ch /V [(first choice) (second)]".to_owned(),
    ]
    .map(|field| {
        pdf.object(format!("<< /Type /Annot /Subtype /Widget {field} >>"))
            .to_string()
    });
    let page = pdf.page(
        &line(72.0, 700.0, 12.0, "Name:"),
        "",
        &format!("/Annots [{}]", fields.join(" ")),
    );
    let extraction = read(&pdf.finish(&[page])).await;
    let page = extraction.pages.first().unwrap();
    let lines: Vec<&str> = page.text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["Name:", "drawn", "Alice", "first choice second"]);
    assert_near(word(page, "Alice"), 100.0, 285.2, 25.0, 10.0);
}
