//! Form fields: which buttons are ticked, which values are chosen, and where values are read.

use pdf_text::Limits;

use crate::extract;
use crate::pdf::{Id, Pdf, line};

/// Returns a page with this content.
async fn drawn(content: &str) -> Vec<String> {
    let text = text(Pdf::default(), content, &[]).await;
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// Adds the appearances of a box with this name of the ticked state.
fn appearance(pdf: &mut Pdf, state: &str) -> String {
    let empty = pdf.stream("/Type /XObject /Subtype /Form /BBox [0 0 10 10]", b"");
    format!("/AP << /N << /{state} {empty} /Off {empty} >> >>")
}

fn widget(pdf: &mut Pdf, entries: &str) -> Id {
    pdf.object(format!("<< /Type /Annot /Subtype /Widget {entries} >>"))
}

async fn text(mut pdf: Pdf, content: &str, fields: &[Id]) -> String {
    let fields: Vec<String> = fields.iter().map(Id::to_string).collect();
    let page = pdf.page(content, "", &format!("/Annots [{}]", fields.join(" ")));
    let extraction = extract(Limits::default(), &pdf.finish(&[page]))
        .await
        .expect("the document can be read");
    let page = extraction.pages.into_iter().next();
    page.expect("the document has a page").text
}

#[tokio::test]
async fn of_radio_buttons_without_a_state_only_the_value_of_the_group_is_ticked() {
    let mut pdf = Pdf::default();
    let (single, double) = (
        appearance(&mut pdf, "single"),
        appearance(&mut pdf, "double"),
    );
    let group = pdf.object("<< /FT /Btn /Ff 49152 /T (room) /V /double >>");
    let fields = [
        widget(
            &mut pdf,
            &format!("/Parent {group} /Rect [50 698 60 708] {single}"),
        ),
        widget(
            &mut pdf,
            &format!("/Parent {group} /Rect [50 678 60 688] {double}"),
        ),
    ];
    let content = line(76.0, 700.0, 10.0, "Single room") + &line(76.0, 680.0, 10.0, "Double room");
    let text = text(pdf, &content, &fields).await;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["[ ]\tSingle room", "[x]\tDouble room"]);
}

#[tokio::test]
async fn a_list_is_read_as_it_is_shown_beside_its_name() {
    let mut pdf = Pdf::default();
    let options = "/Opt [[(SE) (Sweden)] [(NO) (Norway)] [(DK) (Denmark)]]";
    let fields = [
        widget(
            &mut pdf,
            &format!("/FT /Ch /Ff 131072 /V (NO) {options} /Rect [150 695 300 715]"),
        ),
        widget(
            &mut pdf,
            &format!("/FT /Ch /Ff 2097152 /V [(SE) (DK)] {options} /Rect [150 640 300 680]"),
        ),
        widget(
            &mut pdf,
            &format!("/FT /Ch /I [1] {options} /Rect [150 600 300 620]"),
        ),
        widget(&mut pdf, "/FT /Tx /V (44112233) /Rect [150 555 300 575]"),
    ];
    let content = line(70.0, 702.0, 10.0, "Country") + &line(70.0, 562.0, 10.0, "Card number");
    let text = text(pdf, &content, &fields).await;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "Country\tNorway",
            "Sweden Denmark",
            "Norway",
            "Card number\t44112233"
        ]
    );
}

#[tokio::test]
async fn boxes_that_are_drawn_as_lines_are_ticked_or_empty() {
    let names = ["Married", "Single", "Employed", "Retired", "Student"];
    let content: String = (0..)
        .zip(names)
        .map(|(at, name)| line(76.0, 700.0 - 20.0 * f64::from(at), 10.0, name))
        .collect();
    let boxes = "60 698 10 10 re S\n\
         60 678 10 10 re S\n\
         60 658 10 10 re S 60 658 m 70 668 l S 60 668 m 70 658 l S\n\
         60 638 m 70 638 l S 60 648 m 70 648 l S 60 638 m 60 648 l S 70 638 m 70 648 l S\n\
         60 618 10 10 re S 61 623 m 64 620 l 70 629 l S\n";
    let tick = line(61.5, 700.0, 10.0, "X");
    assert_eq!(
        drawn(&(content + boxes + &tick)).await,
        [
            "[x] Married",
            "[ ] Single",
            "[x] Employed",
            "[ ] Retired",
            "[x] Student"
        ]
    );
}

#[tokio::test]
async fn cells_bullets_and_keys_of_charts_are_not_boxes() {
    let content = [
        // Digits in a row of boxes, without and with content.
        line(76.0, 700.0, 10.0, "Number"),
        "120 698 12 12 re S 132 698 12 12 re S 144 698 12 12 re S\n".to_owned(),
        // Cells of a table.
        line(76.0, 660.0, 10.0, "Row"),
        "60 658 12 12 re S 50 658 m 200 658 l S 50 670 m 200 670 l S\n".to_owned(),
        // A key of a chart, and a bullet.
        line(76.0, 620.0, 10.0, "Imports"),
        "0.8 0.2 0.2 rg 0 G 60 618 10 10 re B 0 g\n".to_owned(),
        line(76.0, 580.0, 10.0, "First"),
        "62 581 6 6 re f\n".to_owned(),
        // A box with a letter in it, and one without text beside it.
        line(76.0, 540.0, 10.0, "Class"),
        line(62.0, 540.0, 10.0, "B"),
        "60 538 10 10 re S 400 300 10 10 re S\n".to_owned(),
    ];
    assert_eq!(
        drawn(&content.concat()).await,
        ["Number", "Row", "Imports", "First", "B Class"]
    );
}
