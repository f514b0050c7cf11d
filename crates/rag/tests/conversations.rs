//! Conversations: history within its limit, and follow-up questions.

use rag::{Tokens, Turn, expanded_question, history, standalone_prompt, standalone_question};

fn turn(question: &str, answer: &str) -> Turn {
    Turn {
        question: question.to_owned(),
        answer: answer.to_owned(),
    }
}

#[test]
fn the_newest_turns_within_the_limit_are_kept_in_order() {
    let turns: Vec<Turn> = (0..20)
        .map(|number| turn(&format!("Question {number}?"), &"word ".repeat(50)))
        .collect();
    let kept = history(&turns, 300);
    assert!((3..=6).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().question, "Question 19?");
    assert!(
        kept.windows(2)
            .all(|pair| pair[0].question < pair[1].question)
    );
    let tokens = Tokens::new();
    let count: usize = kept
        .iter()
        .map(|turn| tokens.count(&turn.question) + tokens.count(&turn.answer))
        .sum();
    assert!(count <= 300, "{count} tokens");
    assert!(history(&[], 300).is_empty());
    assert!(history(&turns, 0).is_empty());
}

#[test]
fn a_newest_answer_that_is_too_long_is_shortened() {
    let long = "The rent rises. ".repeat(2_000);
    let kept = history(&[turn("First?", "Yes."), turn("And then?", &long)], 100);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].question, "And then?");
    assert!(
        kept[0].answer.starts_with("The rent rises.") && kept[0].answer.ends_with('\u{2026}'),
        "{}",
        kept[0].answer
    );
    assert!(Tokens::new().count(&kept[0].answer) <= 100);
}

#[test]
fn citations_of_earlier_answers_are_left_out() {
    let kept = history(
        &[
            turn("Rent?", "It is 1,200 euros [1][2], see `a[1]`."),
            turn("Why?", " "),
        ],
        300,
    );
    assert_eq!(kept[0].answer, "It is 1,200 euros, see `a[1]`.");
    assert_eq!(kept[1].answer, "(no answer)");
}

#[test]
fn a_follow_up_question_is_searched_with_the_words_that_it_refers_to() {
    for (earlier, question, expanded) in [
        (
            vec!["How tall is the Eiffel Tower?"],
            "and what about its height?",
            "height tall Eiffel Tower",
        ),
        (
            vec![
                "How tall is the Eiffel Tower?",
                "and what about its height?",
            ],
            "When was it built?",
            "built height tall Eiffel Tower",
        ),
        (
            vec!["Wie hoch ist der Eiffelturm?"],
            "Und wann wurde er gebaut?",
            "gebaut hoch Eiffelturm",
        ),
        (
            vec!["Quelle est la hauteur de la tour Eiffel ?"],
            "Et son poids ?",
            "poids hauteur tour Eiffel",
        ),
        (
            vec!["How tall is the Eiffel Tower?"],
            "Why?",
            "tall Eiffel Tower",
        ),
        (
            vec!["What is the torque of an M8 bolt?"],
            "And M10?",
            "M10 torque M8 bolt",
        ),
        // These are understood on their own.
        (
            vec!["How tall is the Eiffel Tower?"],
            "Who pays the rent?",
            "Who pays the rent?",
        ),
        (
            vec!["How tall is the Eiffel Tower?"],
            "Is it possible to end the lease early?",
            "Is it possible to end the lease early?",
        ),
        (
            vec![],
            "and what about its height?",
            "and what about its height?",
        ),
    ] {
        assert_eq!(expanded_question(question, earlier), expanded, "{question}");
    }
}

#[test]
fn the_rewritten_question_is_taken_from_the_reply() {
    let prompt = standalone_prompt(" Its height? ", &[turn("Eiffel Tower?", "In Paris.")]);
    assert_eq!(
        prompt.user,
        "Conversation:\nQuestion: Eiffel Tower?\nAnswer: In Paris.\n\nLast question: Its height?"
    );
    for (reply, question) in [
        ("How tall is it?", Some("How tall is it?")),
        ("\n \u{201c}How tall?\u{201d}\nBecause", Some("How tall?")),
        ("Question: **How tall?**", Some("How tall?")),
        ("", None),
        (" \n", None),
        ("NOT_FOUND: The passages do not answer this.", None),
        ("This reply is much too long to be a question.", None),
    ] {
        assert_eq!(
            standalone_question(reply, 20).as_deref(),
            question,
            "{reply}"
        );
    }
}
