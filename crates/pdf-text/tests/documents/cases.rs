//! Files of `tests/cases`, each of which shows a kind of page that is easily read wrongly.

use pdf_text::{DocumentError, Extraction, Limits, PageKind};

use crate::extract;

fn path(name: &str) -> String {
    format!("{}/tests/cases/{name}.pdf", env!("CARGO_MANIFEST_DIR"))
}

async fn read(name: &str) -> Result<Extraction, DocumentError> {
    let file = std::fs::read(path(name)).expect("the file exists");
    extract(Limits::default(), &file).await
}

/// Returns the text of all pages.
async fn text(name: &str) -> String {
    let extraction = read(name).await.expect("the document can be read");
    let pages: Vec<&str> = extraction
        .pages
        .iter()
        .map(|page| page.text.as_str())
        .collect();
    pages.join("\n\n")
}

#[track_caller]
fn assert_contains(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// Asserts that the parts occur one after the other.
#[track_caller]
fn assert_in_order(text: &str, expected: &[&str]) {
    let mut rest = text;
    for part in expected {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} is not in order in {text}"));
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
}

#[tokio::test]
async fn all_rows_of_a_statement_are_kept() {
    let text = text("statement").await;
    let rows: Vec<&str> = text.lines().filter(|line| line.contains('\t')).collect();
    assert_eq!(rows.len(), 454);
    assert!(
        rows.iter().all(|row| row.split('\t').count() == 3),
        "{rows:?}"
    );
    assert_contains(
        &text,
        &["13/01\tSalary\t1331.19", "03/01\tATM withdrawal\t1781.53"],
    );
}

#[tokio::test]
async fn numbered_headings_are_kept() {
    let text = text("itinerary").await;
    for day in 1..=7 {
        assert_contains(&text, &[&format!("Day {day}\n")]);
    }
}

#[tokio::test]
async fn scanned_pages_of_a_mixed_file_are_named() {
    let report = read("mixed-scan").await.unwrap().report;
    assert_eq!(report.unread(), (2..=10).collect::<Vec<u32>>());
    assert_eq!(report.count(PageKind::Image), 9);
    assert_eq!(
        report.summary().as_deref(),
        Some("9 of 10 pages are images.")
    );
}

#[tokio::test]
async fn half_a_file_is_incomplete() {
    assert_eq!(
        read("lin-own-half").await,
        Err(DocumentError::Incomplete {
            expected: 40,
            found: 6
        })
    );
}

#[tokio::test]
async fn fonts_without_usable_character_maps_are_read() {
    for name in [
        "tou-ok",
        "tou-empty-target",
        "type3-tex-names",
        "japan1-embedded",
        "japan1-encrypted",
        "japan1-inline",
    ] {
        let text = text(name).await;
        assert_contains(
            &text,
            &[
                "The annual meeting is held on 14 May in the town hall of Aldersund.",
                "Members pay 120 crowns a year and have one vote each; proxies are not allowed.",
            ],
        );
    }
}

#[tokio::test]
async fn embedded_fonts_of_all_east_asian_collections_are_read() {
    let file = std::fs::read(path("japan1-embedded")).expect("the file exists");
    for ordering in ["(GB1)   ", "(CNS1)  ", "(Korea1)"] {
        // The codes of ASCII characters are the same in all collections.
        let mut file = file.clone();
        let at = file
            .windows(ordering.len())
            .position(|window| window == b"(Japan1)")
            .expect("the file names its collection");
        file[at..at + ordering.len()].copy_from_slice(ordering.as_bytes());
        let extraction = extract(Limits::default(), &file).await.unwrap();
        let page = extraction.pages.first().unwrap();
        assert_contains(&page.text, &["The annual meeting is held on 14 May"]);
    }
}

#[tokio::test]
async fn the_names_of_glyphs_are_read_if_codes_mean_nothing() {
    for name in [
        "glyph-names-truetype",
        "glyph-names-cff",
        "glyph-names-codes",
    ] {
        assert_eq!(
            text(name).await.trim(),
            "The annual fee of 120 crowns is due on 14 May; members have 1 vote.",
            "{name}"
        );
    }
}

#[tokio::test]
async fn thai_text_with_a_rejected_map_is_read() {
    let text = text("w-th").await;
    assert_contains(
        &text,
        &[
            "คณะกรรมการอนุมัติงบประมาณแล้ว",
            "25 คน",
            "ที่นี่ไม่มีน",
            "ผู้ใหญ่บ้านชื่อสมชาย",
        ],
    );
}

#[tokio::test]
async fn text_without_character_codes_is_named() {
    let extraction = read("no-tounicode-footer").await.unwrap();
    let page = extraction.pages.first().unwrap();
    assert_eq!(page.kind, PageKind::UnreadableFont);
    assert!(page.unknown_glyphs > 100, "{}", page.unknown_glyphs);
    let warnings = extraction.report.warnings();
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("font without character codes")),
        "{warnings:?}"
    );
    assert!(!warnings.iter().any(|warning| warning.contains("OCR")));
}

#[tokio::test]
async fn punctuation_and_numbers_beside_right_to_left_words_stay_in_place() {
    assert_contains(
        &text("hebrew-visual").await,
        &[
            "שלום, עולם.",
            "הדוח הרבעוני (גרסה 3) נשלח ב-15 במאי 2024.",
            "התקנו Windows 10 במשרד, ועוד PostgreSQL 16.",
            "המחיר הוא 1,250 ש\"ח; ההנחה היא 12.5%.",
        ],
    );
}

#[tokio::test]
async fn numbers_in_arabic_text_keep_their_order_and_tables_their_columns() {
    let text = text("arabic-visual").await;
    assert_contains(
        &text,
        &[
            "الاجتماع السنوي (النسخة 3) يوم 15 مايو 2024.",
            "السعر 1,250.50 دولار (17%).",
            "الاسم: John Smith، الهاتف 03-1234567",
            "القانون رقم ١٢ لسنة ٢٠٠٤ (المادة ٥).",
            "البند\tالكمية\tالسعر\nحبل\t4\t12.50\nمرساة\t\t70.00\nمصباح\t1\t1,200.00",
        ],
    );
}

#[tokio::test]
async fn private_use_characters_are_read() {
    assert_eq!(
        text("oldstyle").await.trim(),
        "The treaty of 1648 ended a war of thirty years; NATO was founded in 1949."
    );
}

#[tokio::test]
async fn bold_text_in_pieces_is_read_once() {
    assert_eq!(
        text("fake-bold-pieces").await.trim(),
        "First quarter\t2,007,367\nSecond quarter\t2,085,923\nThird quarter\t1,973,603"
    );
}

#[tokio::test]
async fn powers_and_note_marks_are_not_digits_of_the_number_before() {
    let text = text("superscript").await;
    assert_contains(
        &text,
        &["3 x 10^6 cells", "10^-9 mbar", "250 9 million", "15 m^2"],
    );
}

#[tokio::test]
async fn ticked_boxes_and_buttons_are_read() {
    let text = text("checkbox").await;
    assert_contains(
        &text,
        &[
            "[x]\tVisa needed",
            "[ ]\tHotel needed",
            "[x]\tRental car",
            "[ ]\tVegetarian meals",
            "[ ]\tEconomy",
            "[x]\tBusiness",
            "Conference in Porto",
            "Research",
        ],
    );
}

#[tokio::test]
async fn a_title_block_does_not_hide_the_columns_below_it() {
    let text = text("paper-first-page").await;
    assert_in_order(
        &text,
        &[
            "A study of tides",
            "Anna Berg",
            "the harbour must be dredged in May",
            "Salmon farms lie in the north arm where the current is weak, and their owners pay a fee",
        ],
    );
    let right = text.find("Salmon").unwrap();
    let last_left = text.rfind("dredged").unwrap();
    assert!(last_left < right, "the left column is read first");
}

#[tokio::test]
async fn columns_of_six_lines_are_read_one_after_the_other() {
    assert_in_order(
        &text("brochure").await,
        &[
            "what runs where",
            "The heat pump",
            "licensed fitter.",
            "Solar panels",
            "charger of the car.",
        ],
    );
}

#[tokio::test]
async fn the_rows_of_a_dense_table_are_kept_together() {
    let text = text("dense-table").await;
    let rows: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(rows.len() > 40);
    for row in &rows {
        assert_eq!(row.split('\t').count(), 4, "{row}");
    }
    assert_contains(
        &text,
        &[
            "Reese Cheri D.\t1545 Branston Street No 50\tbudget analyst of the city of Saint Paul\t08/16/2012 60.00\n",
        ],
    );
}

#[tokio::test]
async fn entries_that_start_with_a_code_have_a_line_each() {
    let text = text("errors").await;
    let entry = text.lines().find(|line| line.contains("E271")).unwrap();
    assert!(entry.starts_with("E271 Fault:"), "{entry}");
}
