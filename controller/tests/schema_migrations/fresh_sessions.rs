//! Nothing that a file or the owner of the database leaves in a session or in the settings of a role
//! changes what a file does or how it is recorded.

use controller::migrations::MigrationSet;

use crate::support::{TestDatabase, execute, migrate_ok, set};

/// The lengths of the recorded checksums.
const CHECKSUMS: &str =
    "SELECT octet_length(checksum)::text FROM _sqlx_migrations ORDER BY version";

#[tokio::test]
async fn strings_mean_the_same_after_a_file_that_changes_how_they_are_read() {
    let database = TestDatabase::create().await;
    let mut files = vec![
        (
            "0001_legacy_dump.sql",
            "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = off;\n\
             SET escape_string_warning = off;\nSET check_function_bodies = false;\n\
             CREATE TABLE paths (id int PRIMARY KEY, path text);\n",
        ),
        (
            "0002_seed.sql",
            "INSERT INTO paths VALUES (1, 'C:\\new\\table');\n-- seed 8\n",
        ),
    ];
    assert_eq!(migrate_ok(&database, &set(&files)).await, [1, 2]);
    assert_eq!(
        database.column("SELECT path FROM paths").await,
        ["C:\\new\\table"]
    );
    assert_eq!(database.column(CHECKSUMS).await, ["48", "48"]);
    files.push(("0003_later.sql", "CREATE TABLE later (id int);\n"));
    assert_eq!(migrate_ok(&database, &set(&files)).await, [3]);
}

#[tokio::test]
async fn a_temporary_table_of_one_file_is_not_visible_in_the_next() {
    let database = TestDatabase::create().await;
    let set = set(&[
        (
            "0001_t.sql",
            "CREATE TABLE item (id int);\nCREATE TEMP TABLE note AS SELECT 1 AS id;\n",
        ),
        ("0002_note.sql", "CREATE TABLE note (id int PRIMARY KEY);\n"),
        (
            "0003_body.sql",
            "ALTER TABLE note ADD COLUMN body text; CREATE TEMP TABLE item ();\n",
        ),
        ("0004_again.sql", "CREATE TEMP TABLE item ();\n"),
    ]);
    assert_eq!(migrate_ok(&database, &set).await, [1, 2, 3, 4]);
    let columns = "SELECT column_name::text FROM information_schema.columns \
                   WHERE table_schema = 'public' AND table_name = 'note' ORDER BY 1";
    assert_eq!(database.column(columns).await, ["body", "id"]);
}

#[tokio::test]
async fn the_row_of_a_file_does_not_depend_on_its_settings() {
    for settings in [
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'LATIN1'",
        "SET search_path = other; CREATE TABLE other._sqlx_migrations (version int)",
        "CREATE ROLE %role% ROLE CURRENT_USER; GRANT ALL ON SCHEMA public TO %role%; SET ROLE %role%",
        "SET LOCAL statement_timeout = '900s'; SET intervalstyle = 'sql_standard'; SET datestyle = 'SQL, DMY'",
        "SET search_path = other, pg_catalog; \
         CREATE FUNCTION other.eq(bigint, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false'; \
         CREATE OPERATOR other.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = other.eq); \
         CREATE FUNCTION other.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '-infinity'::timestamptz $$",
        "SET bytea_output = 'escape'; SET transform_null_equals = on; SET quote_all_identifiers = on",
        "SET CONSTRAINTS ALL DEFERRED; SET row_security = off; SET timezone = 'Asia/Tokyo'",
        "CREATE TEMP TABLE _sqlx_migrations (version int); SET search_path = pg_temp, public",
    ] {
        let database = TestDatabase::create().await;
        let role = format!("{}_other", database.target.database);
        let grant = format!("ALTER ROLE {} CREATEROLE", database.target.role);
        execute(&mut database.connect_as_root().await, &grant).await;
        let first = format!(
            "CREATE SCHEMA other; {};",
            settings.replace("%role%", &role)
        );
        let files = [
            ("0001_a.sql", first.as_str()),
            (
                "0002_b.sql",
                "CREATE TABLE b (path text); INSERT INTO b VALUES ('ü\\n')",
            ),
        ];
        for count in [1, 2] {
            let set = MigrationSet::from_files(files[..count].iter().copied()).expect("a set");
            assert_eq!(migrate_ok(&database, &set).await.len(), 1, "{settings}");
        }
        assert_eq!(database.column(CHECKSUMS).await, ["48", "48"], "{settings}");
        assert_eq!(
            database.column("SELECT path FROM b").await,
            ["ü\\n"],
            "{settings}"
        );
    }
}

#[tokio::test]
async fn settings_of_the_role_and_of_the_database_do_not_change_a_file() {
    let database = TestDatabase::create().await;
    let (name, role) = (&database.target.database, &database.target.role);
    let mut root = database.connect_as_root().await;
    execute(
        &mut root,
        "CREATE SCHEMA evil; \
         CREATE FUNCTION evil.lies(text) RETURNS text LANGUAGE sql AS $$ SELECT 'none' $$; \
         CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'rows ' $$",
    )
    .await;
    // A role that may not create tables.
    execute(
        &mut root,
        &format!("CREATE ROLE {role}_group; GRANT {role}_group TO {role}"),
    )
    .await;
    let other_role = format!("role = '{role}_group'");
    for settings in [
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "search_path = evil, pg_catalog",
        "datestyle = 'SQL, DMY'",
        "transform_null_equals = on",
        "check_function_bodies = off",
        "client_min_messages = debug5",
        "bytea_output = 'escape'",
        "row_security = off",
        "tenant_controller.applied = 'rows '",
        &other_role,
    ] {
        execute(&mut root, &format!("ALTER ROLE {role} SET {settings}")).await;
        execute(&mut root, &format!("ALTER DATABASE {name} SET {settings}")).await;
    }
    let set = set(&[
        (
            "0001_a.sql",
            "CREATE TABLE a (at date, path text, equal text);\n\
             INSERT INTO a VALUES ('2/3/2026', 'ü\\n', coalesce((NULL = NULL)::text, 'null'))",
        ),
        ("0002_b.sql", "CREATE TABLE b (n int)"),
    ]);
    assert_eq!(migrate_ok(&database, &set).await, [1, 2]);
    assert!(migrate_ok(&database, &set).await.is_empty());
    let rows = sqlx::query_scalar::<_, String>(
        "SELECT to_char(at, 'YYYY-MM-DD') || path || equal FROM public.a",
    )
    .fetch_all(&mut root)
    .await
    .expect("read the row");
    assert_eq!(rows, ["2026-02-03ü\\nnull"]);
}
