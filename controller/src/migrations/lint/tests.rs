mod hostile;
mod idempotence;

use super::*;

fn file(sql: &str) -> LintFile {
    LintFile {
        name: "0001_a.sql".to_owned(),
        sql: sql.to_owned(),
        no_transaction: sql.starts_with("-- no-transaction"),
    }
}

/// Lines and rules.
fn found(sql: &str) -> Vec<(i64, String)> {
    let findings = lint(vec![file(sql)]);
    findings
        .into_iter()
        .map(|finding| (finding.line, finding.rule))
        .collect()
}

/// Checks that the statements, one after the other, violate these rules and no others.
fn check(cases: &[(&str, &[&str])]) {
    for (sql, expected) in cases {
        let mut rules: Vec<String> = found(sql).into_iter().map(|(_, rule)| rule).collect();
        rules.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(rules, expected, "{sql}");
    }
}

#[test]
fn statements_that_lose_data_are_found() {
    check(&[
        ("drop table a;", &["ban-drop-table"]),
        ("drop table if exists a, b cascade;", &["ban-drop-table"]),
        ("alter table a drop column b;", &["ban-drop-column"]),
        (
            "ALTER TABLE ONLY a DROP b, DROP COLUMN IF EXISTS c;",
            &["ban-drop-column"],
        ),
        ("drop schema s;", &["drop-data"]),
        ("drop owned by app;", &["drop-data"]),
        ("drop type t cascade;", &["drop-data"]),
        ("drop extension if exists vector;", &["drop-data"]),
        ("truncate a;", &["truncate-table"]),
        ("truncate table a, b restart identity;", &["truncate-table"]),
        (
            "truncate a cascade;",
            &["ban-truncate-cascade", "truncate-table"],
        ),
        ("delete from a;", &["delete-all-rows"]),
        ("delete from a as x returning id;", &["delete-all-rows"]),
        ("delete from a where id = 1;", &[]),
        ("explain delete from a;", &[]),
        ("explain (costs off) delete from a;", &[]),
        ("explain analyze delete from a;", &["delete-all-rows"]),
        (
            "explain (costs off, analyze) delete from a;",
            &["delete-all-rows"],
        ),
        (
            "with gone as (delete from a returning id) select 1;",
            &["delete-all-rows"],
        ),
        (
            "with old as (select 1) delete from a where id in (select 1);",
            &[],
        ),
    ]);
}

#[test]
fn statements_that_break_the_running_application_are_found() {
    check(&[
        ("alter table a rename to b;", &["renaming-table"]),
        ("alter table a rename b to c;", &["renaming-column"]),
        ("alter view v rename to w;", &["rename-object"]),
        ("alter schema s rename to t;", &["rename-object"]),
        ("alter type t rename to u;", &["rename-object"]),
        ("alter type t rename value 'a' to 'b';", &["rename-object"]),
        ("alter table a set schema s;", &["rename-object"]),
        ("alter index i rename to j;", &[]),
        ("alter table a rename constraint c to d;", &[]),
        (
            "alter table a alter column b type bigint;",
            &["changing-column-type"],
        ),
        (
            "alter table a alter b set data type text using b::text;",
            &["changing-column-type"],
        ),
        (
            "alter table a add column b text not null;",
            &["adding-required-field"],
        ),
        ("alter table a add column b text not null default '';", &[]),
        ("alter table a add column b text;", &[]),
        ("drop view v;", &["drop-object"]),
        ("drop function f(int);", &["drop-object"]),
        ("drop type t;", &["drop-object"]),
        (
            "alter table a alter column b drop not null;",
            &["ban-drop-not-null"],
        ),
        ("revoke select on a from app;", &["revoke-privilege"]),
        ("grant select on a to app;", &[]),
    ]);
}

#[test]
fn statements_that_block_others_are_found() {
    check(&[
        (
            "create index on a (b);",
            &["require-concurrent-index-creation"],
        ),
        (
            "create unique index i on s.a (b);",
            &["require-concurrent-index-creation"],
        ),
        ("drop index i;", &["require-concurrent-index-deletion"]),
        ("reindex index i;", &["require-concurrent-reindex"]),
        (
            "alter table a detach partition p;",
            &["require-concurrent-partition-detach"],
        ),
        (
            "alter table a add constraint c check (b > 0);",
            &["constraint-missing-not-valid"],
        ),
        (
            "alter table a add constraint c check (b > 0) not valid;",
            &[],
        ),
        ("alter table a validate constraint c;", &[]),
        (
            "alter table a add constraint c foreign key (b) references d (id);",
            &[
                "adding-foreign-key-constraint",
                "constraint-missing-not-valid",
            ],
        ),
        (
            "alter table a add constraint c unique (b);",
            &[
                "constraint-missing-not-valid",
                "disallowed-unique-constraint",
            ],
        ),
        (
            "alter table a add primary key (b);",
            &[
                "adding-serial-primary-key-field",
                "constraint-missing-not-valid",
            ],
        ),
        ("alter table a add constraint c unique using index i;", &[]),
        (
            "alter table a add column b uuid default gen_random_uuid();",
            &["adding-field-with-default"],
        ),
        ("alter table a add column b timestamptz default now();", &[]),
        (
            "alter table a add column b int generated always as (c + 1) stored;",
            &["adding-field-with-default"],
        ),
        (
            "alter table a alter column b set not null;",
            &["adding-not-nullable-field"],
        ),
        ("update a set b = 1;", &["update-all-rows"]),
        ("update a set b = 1 where b is null;", &[]),
        (
            "insert into a values (1) on conflict (id) do update set b = 1;",
            &[],
        ),
        ("select * from a for update;", &[]),
        ("lock table a in access exclusive mode;", &["lock-table"]),
        ("cluster a using i;", &["rewrite-table"]),
        ("alter table a set unlogged;", &["rewrite-table"]),
        (
            "refresh materialized view v;",
            &["refresh-materialized-view"],
        ),
        ("refresh materialized view concurrently v;", &[]),
    ]);
}

#[test]
fn statements_are_checked_against_the_transaction_of_their_file() {
    let index = "create index concurrently if not exists i on a (b);";
    check(&[
        (index, &["needs-no-transaction"]),
        (&format!("-- no-transaction\n{index}"), &[]),
        (
            "-- no-transaction\ncreate index concurrently i on a (b);",
            &["not-idempotent"],
        ),
        ("drop index concurrently i;", &["needs-no-transaction"]),
        (
            "-- no-transaction\ndrop index concurrently if exists i;",
            &[],
        ),
        ("reindex table concurrently a;", &["needs-no-transaction"]),
        (
            "alter table a detach partition p concurrently;",
            &["needs-no-transaction"],
        ),
        ("vacuum a;", &["needs-no-transaction"]),
        ("-- no-transaction\nvacuum full a;", &["rewrite-table"]),
    ]);
}

#[test]
fn tables_that_the_same_file_creates_can_be_changed() {
    check(&[
        (
            "create table s.a (b int);\nalter table s.a drop column b;",
            &[],
        ),
        (
            "create table s.a (b int);\nalter table a drop column b;",
            &["ban-drop-column"],
        ),
        (
            "create table a (b int);\nalter table t.a drop column b;",
            &["ban-drop-column"],
        ),
        (
            "create table a (b int references c);\ncreate index on a (b);\nalter table a add primary key (b);\n\
             alter table only a alter b set not null;",
            &[],
        ),
        (
            "create table if not exists a (b int);\nalter table a drop column b;",
            &["ban-drop-column"],
        ),
        (
            "create table if not exists a (b int);\ncreate index on a (b);\n\
             alter table a add constraint c foreign key (b) references d (b);\n\
             alter table a add constraint e check (b > 0);\nalter table a add constraint f unique (b);",
            &[
                "adding-foreign-key-constraint",
                "constraint-missing-not-valid",
                "constraint-missing-not-valid",
                "constraint-missing-not-valid",
                "disallowed-unique-constraint",
                "require-concurrent-index-creation",
            ],
        ),
        (
            "create table archive.a (b int);\ncreate index on public.a (b);",
            &["require-concurrent-index-creation"],
        ),
        (
            "create table public.\"A b\" (b int);\ncreate index on \"A b\" (b);",
            &[],
        ),
        (
            "create table a (b int);\nalter table other drop column b;",
            &["ban-drop-column"],
        ),
        (
            "alter table a drop column b;\ncreate table a (b int);",
            &["ban-drop-column"],
        ),
    ]);
}

#[test]
fn statements_that_do_not_run_with_the_migration_are_not_checked() {
    check(&[
        (
            "create function f() returns void begin atomic delete from a; end;",
            &[],
        ),
        (
            "create function f() returns void language plpgsql as $$ begin delete from a; end $$;",
            &[],
        ),
        (
            "create rule r as on delete to v do instead delete from a;",
            &[],
        ),
        ("select 'drop table a';", &[]),
        ("-- drop table a;\nselect 1; /* truncate a; */", &[]),
        ("do $$ begin delete from a; end $$;", &["opaque-statement"]),
    ]);
}

#[test]
fn findings_have_the_line_of_the_statement_or_of_its_part() {
    let sql = "-- first\n\nselect 1;\r\n/* a\n comment */ drop table a;\nalter table a\n  drop column b,\n  add c int;\n";
    assert_eq!(
        found(sql),
        [
            (5, "ban-drop-table".to_owned()),
            (7, "ban-drop-column".to_owned())
        ]
    );
    let same_line = "drop table a; drop table b;";
    assert_eq!(found(same_line).len(), 1, "one finding per line and rule");
}

#[test]
fn a_comment_silences_a_rule_in_its_line_and_in_the_next_one() {
    check(&[
        ("-- squawk-ignore ban-drop-table\ndrop table a;", &[]),
        ("drop table a; -- squawk-ignore ban-drop-table", &[]),
        (
            "/* squawk-ignore truncate-table, delete-all-rows */\ndelete from a;",
            &[],
        ),
        (
            "-- squawk-ignore truncate-table\n\ntruncate a;",
            &["truncate-table"],
        ),
        (
            "-- squawk-ignore truncate-table\ndrop table a;",
            &["ban-drop-table"],
        ),
        ("-- squawk-ignore\ndrop table a;", &["ban-drop-table"]),
        (
            "alter table a\n  -- squawk-ignore ban-drop-column -- nothing uses it\n  drop column b;",
            &[],
        ),
        (
            "-- squawk-ignore-file drop-data\ndrop schema s;\ndrop schema t;",
            &[],
        ),
        ("drop table a;\ntruncate b;\n-- squawk-ignore-file", &[]),
        (
            "-- squawk-ignore ban-drop-tabel\ndrop table a;",
            &["ban-drop-table", "unused-ignore"],
        ),
        ("-- squawk-ignore syntax-error\nselect from from;", &[]),
    ]);
}

#[test]
fn the_findings_of_many_files_are_in_their_order() {
    let files = (1..=500).map(|number| LintFile {
        name: format!("{number}_a.sql"),
        ..file("select 1;\ndrop table a;")
    });
    let names: Vec<String> = lint(files.collect()).into_iter().map(|f| f.file).collect();
    let expected: Vec<String> = (1..=500).map(|number| format!("{number}_a.sql")).collect();
    assert_eq!(names, expected);
}

/// Postgres accepts them.
#[test]
fn the_built_in_migrations_are_understood() {
    let set = crate::migrations::MigrationSet::built_in().unwrap();
    let findings = lint(set.migrations().iter().map(LintFile::from).collect());
    let unread = |rule: &str| matches!(rule, "syntax-error" | "not-analyzed");
    assert!(
        findings.iter().all(|finding| !unread(&finding.rule)),
        "{findings:?}"
    );
}
