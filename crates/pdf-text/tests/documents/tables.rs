//! Tables: rows with their cells in the right columns, with and without rulings.

mod beside;
mod paired;

use pdf_text::{Limits, Page};

use crate::extract;
use crate::pdf::{Pdf, line};

/// A cell: its left edge and its text.
type Cell<'text> = (f64, &'text str);

/// Font size and distance of the lines of the tables.
const SIZE: f64 = 10.0;
const LEADING: f64 = 12.0;

/// Draws the lines of a table, each with its distance from the top of the page.
fn rows(rows: &[(f64, &[Cell<'_>])]) -> String {
    rows.iter()
        .flat_map(|(top, cells)| {
            cells
                .iter()
                .map(move |(left, text)| line(*left, 800.0 - top, SIZE, text))
        })
        .collect()
}

/// Draws horizontal and vertical rulings.
fn rulings(tops: &[f64], lefts: &[f64]) -> String {
    let (Some(left), Some(right)) = (lefts.first(), lefts.last()) else {
        return String::new();
    };
    let (Some(top), Some(bottom)) = (tops.first(), tops.last()) else {
        return String::new();
    };
    let across = tops
        .iter()
        .map(|y| format!("{left} {0} m {right} {0} l S\n", 800.0 - y));
    let down = lefts
        .iter()
        .map(|x| format!("{x} {} m {x} {} l S\n", 800.0 - top, 800.0 - bottom));
    across.chain(down).collect()
}

async fn page(content: &str) -> Page {
    let mut pdf = Pdf::default();
    let page = pdf.page(content, "", "");
    let mut extraction = extract(Limits::default(), &pdf.finish(&[page]))
        .await
        .expect("the document can be read");
    extraction.pages.pop().expect("the document has a page")
}

#[tokio::test]
async fn an_amount_stays_in_its_column_beside_an_empty_cell() {
    let content = rows(&[
        (
            100.0,
            &[
                (50.0, "Date"),
                (120.0, "Entry"),
                (300.0, "Debit"),
                (380.0, "Credit"),
                (460.0, "Balance"),
            ],
        ),
        (
            120.0,
            &[
                (50.0, "03/01"),
                (120.0, "Groceries"),
                (300.0, "45.20"),
                (463.0, "954.80"),
            ],
        ),
        (
            134.0,
            &[
                (50.0, "04/01"),
                (120.0, "Salary"),
                (374.0, "2,000.00"),
                (455.0, "2,954.80"),
            ],
        ),
        (
            148.0,
            &[
                (50.0, "05/01"),
                (120.0, "Rent"),
                (296.0, "800.00"),
                (455.0, "2,154.80"),
            ],
        ),
        (
            162.0,
            &[
                (50.0, "06/01"),
                (120.0, "Refund"),
                (385.0, "12.00"),
                (455.0, "2,166.80"),
            ],
        ),
    ]);
    let page = page(&content).await;
    assert_eq!(
        page.text,
        "Date\tEntry\tDebit\tCredit\tBalance\n\
         03/01\tGroceries\t45.20\t\t954.80\n\
         04/01\tSalary\t\t2,000.00\t2,954.80\n\
         05/01\tRent\t800.00\t\t2,154.80\n\
         06/01\tRefund\t\t12.00\t2,166.80"
    );
    assert_eq!(
        page.tables.first().expect("the page has a table").header,
        "Date\tEntry\tDebit\tCredit\tBalance"
    );
}

#[tokio::test]
async fn cells_that_continue_on_the_next_line_are_joined() {
    let content = rows(&[
        (
            100.0,
            &[
                (50.0, "Article"),
                (130.0, "Description"),
                (380.0, "Price per"),
                (470.0, "Stock"),
            ],
        ),
        (
            100.0 + LEADING,
            &[(380.0, "unit (EUR)"), (470.0, "on 1 May")],
        ),
        (
            134.0,
            &[
                (50.0, "A-100"),
                (130.0, "Mooring rope of polyester, with eight strands,"),
                (384.0, "12.50"),
                (480.0, "340"),
            ],
        ),
        (
            134.0 + LEADING,
            &[(130.0, "sold by the metre with a spliced eye and a gal-")],
        ),
        (134.0 + 2.0 * LEADING, &[(130.0, "vanised thimble")]),
        (176.0, &[(50.0, "A-101"), (130.0, "Fender"), (480.0, "12")]),
        (
            194.0,
            &[
                (50.0, "A-102"),
                (130.0, "Anchor chain with short links and a swivel,"),
                (384.0, "8.75"),
            ],
        ),
        (194.0 + LEADING, &[(130.0, "tested to two tons")]),
    ]);
    assert_eq!(
        page(&content).await.text,
        "Article\tDescription\tPrice per unit (EUR)\tStock on 1 May\n\
         A-100\tMooring rope of polyester, with eight strands, sold by the metre with a spliced eye and a galvanised thimble\t12.50\t340\n\
         A-101\tFender\t\t12\n\
         A-102\tAnchor chain with short links and a swivel, tested to two tons\t8.75"
    );
}

#[tokio::test]
async fn entries_without_a_key_are_rows_of_their_own() {
    let content = rows(&[
        (100.0, &[(50.0, "Deck"), (200.0, "Cabins"), (400.0, "Beds")]),
        (
            120.0,
            &[
                (50.0, "Upper"),
                (200.0, "Captain and first mate"),
                (400.0, "2"),
            ],
        ),
        (120.0 + LEADING, &[(200.0, "Pilot"), (400.0, "1")]),
        (120.0 + 2.0 * LEADING, &[(200.0, "Stores")]),
        (168.0, &[(50.0, "Lower"), (200.0, "Crew"), (400.0, "6")]),
    ]);
    assert_eq!(
        page(&content).await.text,
        "Deck\tCabins\tBeds\n\
         Upper\tCaptain and first mate\t2\n\
         \tPilot\t1\n\
         \tStores\n\
         Lower\tCrew\t6"
    );
}

#[tokio::test]
async fn empty_cells_between_rulings_keep_the_others_in_their_columns() {
    let content = rows(&[
        (
            112.0,
            &[
                (55.0, "Ship"),
                (155.0, "Pilot"),
                (255.0, "Tug"),
                (355.0, "Dues"),
            ],
        ),
        (132.0, &[(55.0, "Anna"), (155.0, "yes"), (355.0, "40.00")]),
        (152.0, &[(55.0, "Bertha"), (255.0, "yes"), (355.0, "90.00")]),
        (172.0, &[(155.0, "no"), (355.0, "10.00")]),
    ]) + &rulings(
        &[100.0, 120.0, 140.0, 160.0, 180.0],
        &[50.0, 150.0, 250.0, 350.0, 450.0],
    );
    assert_eq!(
        page(&content).await.text,
        "Ship\tPilot\tTug\tDues\n\
         Anna\tyes\t\t40.00\n\
         Bertha\t\tyes\t90.00\n\
         \tno\t\t10.00"
    );
}

#[tokio::test]
async fn a_word_that_is_broken_in_a_ruled_cell_is_one_word() {
    let content = rows(&[
        (112.0, &[(55.0, "Part"), (155.0, "Use")]),
        (132.0, &[(55.0, "Pump"), (155.0, "for the ves-")]),
        (144.0, &[(155.0, "sel and the quay")]),
        (164.0, &[(55.0, "Lamp"), (155.0, "at night")]),
    ]) + &rulings(&[100.0, 120.0, 152.0, 172.0], &[50.0, 150.0, 250.0]);
    assert_eq!(
        page(&content).await.text,
        "Part\tUse\nPump\tfor the vessel and the quay\nLamp\tat night"
    );
}

#[tokio::test]
async fn numbers_beside_wrapped_names_are_not_a_column_of_their_own() {
    let mut cells: Vec<(f64, Vec<Cell<'_>>)> = vec![(
        100.0,
        vec![
            (50.0, "Inequality measure"),
            (330.0, "1997"),
            (400.0, "1998"),
            (470.0, "1999"),
        ],
    )];
    let mut top = 120.0;
    for _ in 0..7 {
        cells.push((
            top,
            vec![(50.0, "premature mortality of the years of potential")],
        ));
        cells.push((
            top + 6.0,
            vec![(330.0, "0.4590"), (400.0, "0.4560"), (470.0, "0.4580")],
        ));
        cells.push((
            top + LEADING,
            vec![(50.0, "life lost before the age of many people")],
        ));
        top += 2.0 * LEADING + 4.0;
    }
    let drawn: Vec<(f64, &[Cell<'_>])> = cells
        .iter()
        .map(|(top, cells)| (*top, cells.as_slice()))
        .collect();
    let text = page(&rows(&drawn)).await.text;
    let names = text.matches("premature").count();
    assert_eq!(names, 7, "{text}");
    // The numbers are between the lines of their name.
    let first = text.find("0.4590").expect("the numbers are read");
    let second_name = text.rfind("premature").expect("the names are read");
    assert!(first < second_name, "{text}");
}

#[tokio::test]
async fn a_large_initial_starts_the_first_line_beside_it() {
    let content = [
        line(72.0, 676.0, 34.0, "T"),
        line(96.0, 700.0, 10.0, "his release of the figures, which are"),
        line(
            96.0,
            688.0,
            10.0,
            "published every two years, is the second",
        ),
        line(96.0, 676.0, 10.0, "since the harbour was opened to all"),
        line(72.0, 664.0, 10.0, "ships of the northern lines."),
    ]
    .concat();
    let text = page(&content).await.text;
    assert!(
        text.starts_with("This release of the figures, which are published"),
        "{text}"
    );
}
