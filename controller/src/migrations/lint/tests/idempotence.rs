use super::*;

#[test]
fn statements_outside_a_transaction_that_are_not_idempotent_are_found() {
    let is_found = |sql: &str| {
        let found = found(&format!("-- no-transaction\n{sql}"));
        found.iter().any(|(_, rule)| rule == "not-idempotent")
    };
    for sql in [
        "create table a (b int);",
        "create table a (temp int);",
        "create index concurrently on a (b);",
        "create type t as enum ('x');",
        "create function f() returns int language sql as 'select 1';",
        "create policy p on a;",
        "create trigger t before insert on a for each row execute function f();",
        "create materialized view v as select 1;",
        "drop trigger t on a;",
        "alter table a add column b int;",
        "alter table a add constraint c check (b > 0) not valid;",
        "alter table a drop constraint c;",
        "alter table a attach partition p for values in (1);",
        "alter table a alter b add generated always as identity;",
        "alter table a alter b drop identity;",
        "alter table a rename column b to c;",
        "alter table a rename to b;",
        "alter table a set schema s;",
        "alter type t add value 'x';",
        "alter type t rename value 'x' to 'y';",
        "insert into a values (1);",
        "alter table a alter b set default 1, add column c int;",
    ] {
        assert!(is_found(sql), "not found: {sql}");
        let in_transaction = found(sql);
        assert!(
            in_transaction
                .iter()
                .all(|(_, rule)| rule != "not-idempotent"),
            "{sql}"
        );
    }
    for sql in [
        "create table if not exists a (b int);",
        "create temp table a (b int);",
        "create index concurrently if not exists i on a (b);",
        "create or replace function f() returns int language sql as 'select 1';",
        "alter table a validate constraint c;",
        "alter table a alter b drop identity if exists;",
        // The controller recognizes that it took effect.
        "alter table a detach partition p concurrently;",
        "alter table a alter b set not null, alter b set default 1, alter c drop not null;",
        "alter table a enable row level security;",
        "alter table a owner to x;",
        "alter table a set (fillfactor = 70);",
        "alter table a add column if not exists b int;",
        "alter table a drop constraint if exists c, add constraint c check (b > 0) not valid;",
        "alter type t add value if not exists 'x';",
        "insert into a values (1) on conflict do nothing;",
        "insert into a select 1 where not exists (select from a);",
        "update a set b = 1 where b is null;",
        "vacuum a;",
        "analyze a;",
        "reindex table concurrently a;",
        "comment on table a is 'b';",
        "grant select on a to b;",
    ] {
        assert!(!is_found(sql), "found: {sql}");
    }
}
