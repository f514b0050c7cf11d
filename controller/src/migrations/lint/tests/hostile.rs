//! SQL that is invalid, nested or long.

use crds::FindingSeverity;
use proptest::prelude::*;
use squawk_lexer::TokenKind;

use super::super::file::MAX_NESTING;
use super::super::lint;
use super::{file, found};

#[test]
fn what_the_parser_does_not_understand_is_a_finding_and_the_rest_is_read() {
    for sql in [
        "selec 1;\ndrop table a;",
        "drop table a;\ncreate table b (;",
        "drop table a;\n)))((( ;",
        "drop table a;\n\u{0}",
        "drop table a;\nselect 'open",
        "drop table a;\nselect $tag$ open",
        "drop table a;\n/* open",
    ] {
        let rules: Vec<String> = found(sql).into_iter().map(|(_, rule)| rule).collect();
        for rule in ["syntax-error", "ban-drop-table"] {
            assert!(
                rules.iter().any(|found| found == rule),
                "{sql:?}: {rules:?}"
            );
        }
    }
    let many = "selec 1;\n".repeat(1_000);
    assert!(found(&many).len() <= 3, "{:?}", found(&many));
}

/// Each of these is nested about as deeply as a statement that is read may be.
#[test]
fn nested_statements_do_not_exhaust_the_stack() {
    for (open, close) in [
        ("(", ")"),
        ("((select ", "))"),
        ("f(", ")"),
        ("array[", "]"),
        ("a[", "]"),
        ("not ", ""),
        ("- ", ""),
        ("1 + ", ""),
        ("a || ", ""),
        ("a.", ""),
        ("a::", ""),
        ("case when ", " end"),
        ("exists (select ", ")"),
        ("a in (", ")"),
        ("cast(", " as int)"),
        ("row(", ")"),
        ("{", "}"),
    ] {
        let tokens = tokens(open) + tokens(close);
        let depth = MAX_NESTING / tokens - 10;
        for close in [close, ""] {
            let sql = format!("select {}1{};", open.repeat(depth), close.repeat(depth));
            let rules = found(&sql);
            assert!(
                rules.iter().all(|(_, rule)| rule == "syntax-error"),
                "{open:?}: {rules:?}"
            );
        }
    }
    for part in [
        "select 1 union ",
        "with a as (",
        "create schema s ",
        "a join b on ",
        "begin atomic ",
        "explain ",
        "table ",
    ] {
        let words = part.split(' ').count();
        found(&part.repeat(MAX_NESTING / words));
    }
}

fn tokens(sql: &str) -> usize {
    let tokens = squawk_lexer::tokenize(sql);
    tokens
        .filter(|token| token.kind != TokenKind::Whitespace)
        .count()
}

#[test]
fn a_statement_that_may_be_nested_too_deeply_is_a_finding_and_the_rest_is_read() {
    let named = |line, rule: &str| (line, rule.to_owned());
    for deep in [
        format!("select {}1{};", "(".repeat(100_000), ")".repeat(100_000)),
        format!("select {}1;", "not ".repeat(100_000)),
        format!("select {}1;", "(a, ".repeat(50_000)),
        format!("select {}1;", "1 + ".repeat(50_000)),
    ] {
        let sql = format!("drop table a;\n{deep}\ndrop table b;");
        // Unbalanced parentheses may extend to the end of the file.
        let found = found(&sql);
        assert_eq!(
            found[..2],
            [named(1, "ban-drop-table"), named(2, "not-analyzed")]
        );
        let silenced = format!("-- squawk-ignore not-analyzed\n{deep}");
        assert_eq!(super::found(&silenced), []);
    }
    let open = format!("select {}", "(;".repeat(MAX_NESTING));
    assert_eq!(found(&open), [named(1, "not-analyzed")]);
    let large = format!("select '{}';", "x".repeat(2 * 1024 * 1024));
    assert_eq!(found(&large), [named(1, "not-analyzed")]);
}

#[test]
fn a_long_list_is_read() {
    let rows = ", (1, 'a', null)".repeat(20_000);
    let sql = format!("insert into a values (0, 'b', 1){rows};\ndrop table b;");
    assert_eq!(found(&sql), [(2, "ban-drop-table".to_owned())]);
}

#[test]
fn messages_are_bounded_whatever_the_names_are() {
    let name = "n".repeat(10_000);
    let findings = lint(vec![file(&format!("create table {name} (a int);"))]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, FindingSeverity::Note);
    assert!(findings[0].message.chars().count() < 1_000);
}

const WORDS: [&str; 44] = [
    "select",
    "from",
    "where",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ";",
    ",",
    ".",
    "::",
    "'",
    "''",
    "\"",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    "\n",
    "\r",
    "\\",
    "e'",
    "u&'",
    "1",
    "1.e",
    "a",
    "ü",
    "\u{feff}",
    "alter table",
    "drop column",
    "create index",
    "concurrently",
    "begin atomic",
    "end",
    "case",
    "with",
    "values",
    "not null",
    "default",
    "squawk-ignore",
    "@>",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The linter returns, and it does not fail.
    #[test]
    fn any_text_can_be_linted(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60), text in ".{0,40}") {
        for sql in [words.join(" "), words.concat(), text] {
            let failed = lint(vec![file(&sql)]).into_iter().find(|finding| finding.rule == "not-analyzed");
            prop_assert!(failed.is_none(), "{sql:?}: {failed:?}");
        }
    }
}
