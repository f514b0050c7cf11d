//! Two columns without rulings whose rows belong together.

use super::{page, rows};

#[tokio::test]
async fn names_and_descriptions_of_several_lines_are_read_row_by_row() {
    let content = rows(&[
        (
            100.0,
            &[
                (50.0, "The harbour master, who is"),
                (300.0, "keeps the book of all ships and decides"),
            ],
        ),
        (
            112.0,
            &[
                (50.0, "elected for a term of five years"),
                (300.0, "where they may lie; in doubt the council"),
            ],
        ),
        (124.0, &[(300.0, "decides, and its decision is final.")]),
        (
            146.0,
            &[
                (50.0, "The pilots of the inner and the"),
                (300.0, "guide ships of more than forty metres"),
            ],
        ),
        (
            158.0,
            &[
                (50.0, "outer harbour"),
                (300.0, "from the buoy to the quay, by day only."),
            ],
        ),
        (
            180.0,
            &[
                (50.0, "The office of fees, which is open"),
                (300.0, "collects the fees before a ship leaves,"),
            ],
        ),
        (
            192.0,
            &[
                (50.0, "on weekdays until noon and on"),
                (300.0, "and a tenth more from those that are late."),
            ],
        ),
        (204.0, &[(50.0, "market days until three")]),
        (
            226.0,
            &[
                (50.0, "The keeper of the two lights at"),
                (300.0, "lights them at dusk and puts them out"),
            ],
        ),
        (
            238.0,
            &[
                (50.0, "the end of the mole"),
                (300.0, "at dawn, and in fog sounds the horn."),
            ],
        ),
    ]);
    let page = page(&content).await;
    let lines: Vec<&str> = page.text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "The harbour master, who is elected for a term of five years\tkeeps the book of all ships and decides where they may lie; in doubt the council decides, and its decision is final.",
            "The pilots of the inner and the outer harbour\tguide ships of more than forty metres from the buoy to the quay, by day only.",
            "The office of fees, which is open on weekdays until noon and on market days until three\tcollects the fees before a ship leaves, and a tenth more from those that are late.",
            "The keeper of the two lights at the end of the mole\tlights them at dusk and puts them out at dawn, and in fog sounds the horn.",
        ]
    );
}
