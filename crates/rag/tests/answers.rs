//! Parsing of answers: citations in every form, however the stream is split.

use proptest::prelude::*;
use rag::{AnswerParser, AnswerPart, cited_numbers, parts};

proptest! {
    #[test]
    fn parsing_does_not_depend_on_how_the_answer_is_split(
        answer in "(NOT_FOUND[:. ]?)?([a-z]{1,6}| |\\[[0-9]{1,2}\\]|\\[[0-9], ?[0-9]\\]|\\[|\\]|【[0-9]】|\\[x\\]|\n|\\(|\\)|\\([1-9]\\)[.]?|\\[Source [1-9]\\]|`|```|, | and |\\*\\*|_){0,30}",
        cuts in prop::collection::vec(0_usize..200, 0..10),
    ) {
        let whole = read(5, &[&answer]);
        let mut cut_positions: Vec<usize> = cuts.into_iter().filter(|cut| answer.is_char_boundary(*cut)).collect();
        cut_positions.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for position in cut_positions {
            pieces.push(&answer[from..position]);
            from = position;
        }
        pieces.push(&answer[from..]);
        let cut = read(5, &pieces);
        prop_assert_eq!(&cut, &whole);
        let cited: Vec<u32> = cited_numbers(&whole.0, 5).into_iter().collect();
        prop_assert_eq!(&cited, &whole.1, "{}", whole.0);
        if !whole.0.contains('`') {
            prop_assert!(cited_numbers(&whole.0, 99).iter().all(|number| *number <= 5), "{}", whole.0);
        }
    }
}

/// Returns the shown text, the cited numbers, the number of removed markers, and whether the answer
/// is "not found".
fn read(given: u32, pieces: &[&str]) -> (String, Vec<u32>, usize, bool) {
    let mut reader = AnswerParser::new(given);
    let mut shown: String = pieces.iter().map(|piece| reader.push(piece)).collect();
    let end = reader.finish();
    shown.push_str(&end.text);
    (
        shown,
        end.cited.into_iter().collect(),
        end.removed,
        end.not_found,
    )
}

#[test]
fn markers_are_validated_and_normalized() {
    for (answer, shown, cited, removed) in [
        ("It is [1].", "It is [1].", vec![1], 0),
        ("It is [1, 2] so [9].", "It is [1][2] so.", vec![1, 2], 1),
        ("Both【2】 [1-3]", "Both[2] [1][2][3]", vec![1, 2, 3], 0),
        ("None [0] [99999999999].", "None.", vec![], 2),
        (
            "Keep [this], a[i] and [1",
            "Keep [this], a[i] and [1",
            vec![],
            0,
        ),
        ("[3]", "[3]", vec![3], 0),
        ("[[1]]", "[[1]]", vec![1], 0),
        ("[]", "[]", vec![], 0),
        ("a  b ", "a  b ", vec![], 0),
        (
            "[Source 1], [Sources 2, 3]",
            "[1], [2][3]",
            vec![1, 2, 3],
            0,
        ),
        ("[Passage 1; Ref. 2] [#3]", "[1][2] [3]", vec![1, 2, 3], 0),
        ("So [^1] \\[2\\].", "So [1] [2].", vec![1, 2], 0),
        ("So【1†source】【7:0†source】.", "So[1].", vec![1], 1),
        (
            "So (Source 1) and (see page 2).",
            "So [1] and (see page 2).",
            vec![1],
            0,
        ),
        (
            "It is so (1). And so (2, 3)",
            "It is so [1]. And so [2][3]",
            vec![1, 2, 3],
            0,
        ),
        (
            "(1) First. (2) Second.",
            "(1) First. (2) Second.",
            vec![],
            0,
        ),
        (
            "As in \u{a7} 5 (2), f(1). In (3) words.",
            "As in \u{a7} 5 (2), f(1). In (3) words.",
            vec![],
            0,
        ),
        (
            "So [1], as in part (2).",
            "So [1], as in part (2).",
            vec![1],
            0,
        ),
        // Nothing is left of markers that cite nothing.
        ("So ([9]). And [8], [9].", "So. And.", vec![], 3),
        ("So **[9]** [8] and [7].", "So.", vec![], 3),
        ("So [9], [1] or [2, 8].", "So [1] or [2].", vec![1, 2], 2),
        ("So ([1], [2]).", "So [1][2].", vec![1, 2], 0),
        ("So [9] and more.", "So and more.", vec![], 1),
        // Code is not changed.
        ("`a[9]` [9] ``b ` [8]``", "`a[9]` ``b ` [8]``", vec![], 1),
        ("`[9]` ``[9]`", "`[9]` `` `", vec![], 1),
        (
            "```\na[9] ` b\n```\n[9] [1]",
            "```\na[9] ` b\n```\n[1]",
            vec![1],
            1,
        ),
        ("a ` b [9] [1]", "a ` b [1]", vec![1], 1),
        ("a ` b [9]\n\nc ` [1]", "a ` b\n\nc ` [1]", vec![1], 1),
    ] {
        assert_eq!(
            read(3, &[answer]),
            (shown.to_owned(), cited, removed, false),
            "{answer}"
        );
    }
}

#[test]
fn the_not_found_marker_is_detected_and_not_shown() {
    let (shown, _, _, not_found) = read(3, &["\nNOT_", "FOUND", ": ", "The price is missing."]);
    assert_eq!((shown.as_str(), not_found), ("The price is missing.", true));
    assert_eq!(read(3, &["NOT_FOUND"]), (String::new(), vec![], 0, true));
    assert_eq!(
        read(3, &["**NOT_", "FOUND**", ": Missing."]),
        ("Missing.".to_owned(), vec![], 0, true)
    );
    assert_eq!(
        read(3, &["NOT_", "F"]),
        ("NOT_F".to_owned(), vec![], 0, false)
    );
    assert_eq!(
        read(3, &["NOT so"]),
        ("NOT so".to_owned(), vec![], 0, false)
    );
}

#[test]
fn only_given_passages_are_citations() {
    assert_eq!(
        cited_numbers("a [1] b [4] c [2", 3)
            .into_iter()
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(
        cited_numbers("`a[2]` [1]", 3)
            .into_iter()
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(
        parts("a [1][x] b", 3),
        [
            AnswerPart::Text("a "),
            AnswerPart::Citation(1),
            AnswerPart::Text("[x] b")
        ]
    );
}
