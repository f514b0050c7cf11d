//! Form fields: which buttons are ticked, which values are chosen, and where values are read.

use pdf_text::Limits;

use crate::extract;
use crate::pdf::{Id, Pdf, line};

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
