use super::*;

fn heads(sql: &str) -> Vec<(usize, String)> {
    let statements = split(sql).unwrap_or_else(|problem| panic!("{sql:?}: {problem:?}"));
    statements
        .into_iter()
        .map(|s| (s.line, s.head.join(" ")))
        .collect()
}

fn lines(sql: &str) -> Vec<usize> {
    heads(sql).into_iter().map(|(line, _)| line).collect()
}

fn problem(sql: &str) -> (usize, &'static str) {
    let InvalidSql { line, problem } = split(sql).expect_err(sql);
    let (SqlProblem::Unterminated(what) | SqlProblem::Forbidden(what)) = problem;
    (line, what)
}

#[test]
fn statements_are_split_at_semicolons_with_their_lines() {
    for line_break in ["\n", "\r", "\r\n"] {
        let sql = "-- first\nselect 1;\n\n  create table a (\n b int\n);;\n; select 2"
            .replace('\n', line_break);
        assert_eq!(
            heads(&sql),
            [
                (2, "SELECT 1".to_owned()),
                (4, "CREATE TABLE A ( B INT )".to_owned()),
                (7, "SELECT 2".to_owned()),
            ],
            "{line_break:?}"
        );
    }
}

#[test]
fn semicolons_in_strings_names_comments_and_bodies_do_not_split() {
    for sql in [
        "select ';', 'it''s;', E'\\';', e'\\\\', U&';'",
        "select \"a;\"\"b\"",
        "select 1 -- ; no\n",
        "select /* ; /* nested ; */ ; */ 1",
        "do $$ begin perform 1; end $$",
        "do $body$ select '$$;'; $body$",
        "create rule r as on insert to t do also (select 1; select 2)",
        "create function f() returns int begin atomic select 1; select case when true then 1 end; end",
        "create or replace procedure p() begin atomic select 1; end;",
        "create function f() returns int begin atomic select min(s.begin) as begin, s.end, 1 end, 2 as case from s; end;",
        "create function f(begin atomic) returns int return 1",
        "create function f() returns int begin atomic end",
        "select a$b$c;",
        "select $1;",
        "select 'ü;', \"ß;\";",
        "select E''\n'\\';'",
    ] {
        assert_eq!(lines(sql), [1], "{sql}");
    }
}

#[test]
fn statements_after_a_routine_are_found() {
    for body in [
        "select min(s.begin) as begin from s; end",
        "select s.end from s; end",
        "select case when a then case b when 1 then 2 end end from s; end",
        "end",
    ] {
        let sql = format!("create function f() returns int begin atomic {body}; select 2");
        assert_eq!(lines(&sql).len(), 2, "{sql}");
    }
    assert_eq!(lines("select case when true then 1 end; select 2").len(), 2);
}

#[test]
fn an_unterminated_token_is_reported_with_its_line() {
    for (sql, line, expected) in [
        ("select 1;\nselect 'a", 2, "string"),
        ("select E'a\\'", 1, "string"),
        ("\n\n/* /* */", 3, "comment"),
        ("select \"a", 1, "name"),
        ("select 1\r, $x$ $y$", 2, "dollar"),
    ] {
        let (at, what) = problem(sql);
        assert_eq!(at, line, "{sql}");
        assert!(what.contains(expected), "{sql}: {what}");
    }
}

#[test]
fn what_a_migration_must_not_contain_is_found_before_a_quote_is_missed() {
    for (sql, line, expected) in [
        ("select 1;\ncommit", 2, "transaction control"),
        ("select 1; -- note\rcommit", 2, "transaction control"),
        ("/* a */ begin; select 1", 1, "transaction control"),
        ("start transaction", 1, "transaction control"),
        (
            "select 1;\nprepare transaction 'a'",
            2,
            "transaction control",
        ),
        (
            "create function f() returns int begin atomic select s.begin as begin from s; end; commit; select 1",
            1,
            "transaction control",
        ),
        (
            "copy a (b, c) from stdin with (format csv);\n1,O'Brien\n\\.",
            1,
            "FROM stdin",
        ),
        ("COPY a FROM /* c */ StdIn;\n$$\n\\.\n", 1, "FROM stdin"),
        ("copy (select 1) to stdout", 1, "TO stdout"),
        ("\\echo it's me", 1, "psql"),
        ("select 1;\n\\connect other", 2, "psql"),
        ("select 1 \\gx", 1, "psql"),
        ("\u{feff}select 1", 1, "byte order mark"),
        (
            "select 1;\n\u{feff}-- second file\nselect 2",
            2,
            "byte order mark",
        ),
    ] {
        let (at, what) = problem(sql);
        assert_eq!(at, line, "{sql}");
        assert!(what.contains(expected), "{sql}: {what}");
    }
}

#[test]
fn words_that_only_look_forbidden_are_allowed() {
    for sql in [
        "copy a from '/stdin'",
        "copy (select b from stdin) to '/tmp/a'",
        "select b from stdin",
        "select '\u{feff}', '\\connect'",
        "prepare a as select 1",
        "select 1 as commit",
        "create table \"commit\" ()",
    ] {
        assert_eq!(lines(sql).len(), 1, "{sql}");
    }
}

#[test]
fn a_section_that_undoes_the_migration_is_rejected() {
    for marker in [
        "-- +goose Down",
        "--  +goose   down  ",
        "--+goose Down",
        "-- +migrate Down",
        "-- +migrate Down notransaction",
        "-- migrate:down",
        "-- migrate:down transaction:false",
        "-- Down Migration",
        "---- create above / drop below ----",
    ] {
        let sql = format!("create table a ();\n{marker}\ndrop table a;");
        let expected = InvalidSql {
            line: 2,
            problem: SqlProblem::Forbidden(UNDO_SECTION),
        };
        assert_eq!(split(&sql), Err(expected), "{marker}");
    }
    for comment in [
        "-- +goose Up",
        "-- migrate:up",
        "-- migrate:downgrade",
        "-- Down",
        "-- Down migration: see the manual",
        "-- Down migration is in another file",
        "-- the down migration is in another file",
        "select '-- migrate:down';",
    ] {
        let sql = format!("{comment}\ncreate table a ();");
        assert!(split(&sql).is_ok(), "{comment}");
    }
}

#[test]
fn positions_are_converted_to_lines() {
    let sql = "ä\nb\n\nc\n\n";
    for (position, line) in [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 2),
        (5, 3),
        (6, 4),
        (7, 4),
        (999, 4),
    ] {
        assert_eq!(line_of(sql, position), line, "{position}");
    }
}

proptest::proptest! {
    #[test]
    fn no_input_panics(sql in "[a-z;'\"$/*\\\\ \n\r(Eeü-]{0,60}") {
        let _ = split(&sql);
    }

    #[test]
    fn joined_statements_are_split_into_the_same_number(count in 0_usize..20, filler in "[ \n]{0,3}(-- ;\n)?") {
        let sql: String = format!("{filler}select ';' ;").repeat(count);
        proptest::prop_assert_eq!(split(&sql).map(|statements| statements.len()), Ok(count));
    }
}
