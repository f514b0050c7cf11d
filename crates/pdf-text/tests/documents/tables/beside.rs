//! Cells that are beside each other although their baselines or rulings differ.

use super::{Cell, page, rows, rulings};

#[tokio::test]
async fn names_outside_the_rulings_are_read_with_their_rows() {
    let tops: Vec<f64> = (0..5).map(|row| 100.0 + 20.0 * f64::from(row)).collect();
    let text = rows(&[
        (114.0, &[(220.0, "Spring"), (320.0, "Summer")]),
        (
            134.0,
            &[(50.0, "Harbour fees"), (220.0, "1,200"), (320.0, "3,400")],
        ),
        (154.0, &[(50.0, "Repairs"), (220.0, "800"), (320.0, "90")]),
        (174.0, &[(50.0, "Pilots"), (220.0, "310"), (320.0, "1,060")]),
    ]);
    let page = page(&(text + &rulings(&tops, &[200.0, 300.0, 400.0]))).await;
    for row in [
        "Harbour fees\t1,200\t3,400",
        "Repairs\t800\t90",
        "Pilots\t310\t1,060",
    ] {
        assert!(page.text.lines().any(|line| line == row), "{}", page.text);
    }
}

#[tokio::test]
async fn prose_beside_a_ruled_table_is_not_read_as_names() {
    let prose = [
        "The harbour was built in the",
        "last century and is open from",
        "spring to autumn; in winter the",
        "ice closes it for some weeks,",
        "and the pilots go home to the",
        "villages along the coast.",
    ];
    let tops: Vec<f64> = (0..4).map(|row| 100.0 + 20.0 * f64::from(row)).collect();
    let lines: Vec<(f64, [Cell<'_>; 1])> = (0..)
        .zip(prose)
        .map(|(at, text)| (104.0 + 12.0 * f64::from(at), [(50.0, text)]))
        .collect();
    let lines: Vec<(f64, &[Cell<'_>])> = lines
        .iter()
        .map(|(top, cells)| (*top, cells.as_slice()))
        .collect();
    let table = rows(&[
        (114.0, &[(320.0, "Spring"), (420.0, "Summer")]),
        (134.0, &[(320.0, "1,200"), (420.0, "3,400")]),
        (154.0, &[(320.0, "800"), (420.0, "90")]),
    ]);
    let page = page(&(rows(&lines) + &table + &rulings(&tops, &[300.0, 400.0, 500.0]))).await;
    for row in ["1,200\t3,400", "800\t90"] {
        assert!(page.text.lines().any(|line| line == row), "{}", page.text);
    }
}

#[tokio::test]
async fn cells_whose_baselines_differ_a_little_are_one_row() {
    let text = rows(&[
        (100.0, &[(50.0, "Gender")]),
        (103.5, &[(150.0, "Healthy"), (250.0, "Unhealthy")]),
        (120.0, &[(50.0, "Male")]),
        (123.5, &[(150.0, "102"), (250.0, "16")]),
        (140.0, &[(50.0, "Female")]),
        (143.5, &[(150.0, "270"), (250.0, "32")]),
    ]);
    let page = page(&text).await;
    assert_eq!(
        page.text,
        "Gender\tHealthy\tUnhealthy\nMale\t102\t16\nFemale\t270\t32"
    );
}

#[tokio::test]
async fn parts_of_a_row_with_different_borders_are_one_row() {
    // An empty narrow column separates the two halves, and only the rulings of the rows cross it.
    let mut content = rows(&[
        (
            114.0,
            &[
                (60.0, "Breastfed"),
                (220.0, "76.9"),
                (330.0, "80.0"),
                (420.0, "81.4"),
            ],
        ),
        (
            134.0,
            &[
                (60.0, "Vaccinated"),
                (220.0, "38.8"),
                (330.0, "41.0"),
                (420.0, "40.2"),
            ],
        ),
    ]);
    content += &rulings(&[100.0, 120.0, 140.0], &[50.0, 200.0, 300.0]);
    content += &rulings(&[100.0, 120.0, 140.0], &[310.0, 400.0, 480.0]);
    content += &rulings(&[100.0], &[50.0, 480.0]);
    content += &rulings(&[140.0], &[50.0, 480.0]);
    let page = page(&content).await;
    assert_eq!(
        page.text,
        "Breastfed\t76.9\t80.0\t81.4\nVaccinated\t38.8\t41.0\t40.2"
    );
}
