//! The controller's own statements on a tenant's database.
//!
//! The owner of the database can define functions, operators and relations with any name and
//! settings for its role. Therefore the first statements of a session undo those settings and set
//! `search_path` to `pg_catalog`, so that every name in the later ones means Postgres' own object;
//! the tenant's objects are named with their schema.

use super::limits::{MAX_MIGRATIONS, MigrationLimits};

/// sqlx's table.
pub(super) const MIGRATIONS_TABLE: &str = "public._sqlx_migrations";
/// In the column `execution_time` of a migration that was started outside a transaction. Such a row
/// is not reported as applied: the migration runs again, or another file in its place.
pub(super) const STARTED: i64 = -2;
/// Longest checksum that is read, in bytes. sqlx writes 48.
const MAX_CHECKSUM_BYTES: usize = 64;

/// The first statements of a session. They need no setting to have its default.
pub(super) fn set_up(limits: &MigrationLimits) -> String {
    format!(
        "SET SESSION AUTHORIZATION DEFAULT; \
         SET ROLE NONE; \
         SET search_path = pg_catalog, pg_temp; \
         SET client_min_messages = error; \
         SET client_encoding = 'UTF8'; \
         SET standard_conforming_strings = on; \
         SET default_transaction_isolation = 'read committed'; \
         SET default_transaction_read_only = off; \
         SET client_connection_check_interval = '1s'; \
         {} \
         SELECT count(set_config(name, boot_val, false)) FROM pg_settings \
         WHERE source IN ('database', 'user', 'database user') AND context = 'user'; ",
        own_timeouts(limits),
    )
}

/// Timeouts of the controller's own statements. The server ends a statement before the client gives
/// up.
pub(super) fn own_timeouts(limits: &MigrationLimits) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {};",
        (limits.query_timeout * 2 / 3).as_millis(),
        limits.table_lock_timeout.as_millis(),
    )
}

/// Settings for the statements of a migration.
pub(super) fn file_settings(limits: &MigrationLimits) -> [String; 3] {
    [
        "SET search_path = public".to_owned(),
        format!(
            "SET statement_timeout = {}",
            limits.statement_timeout.as_millis()
        ),
        format!(
            "SET lock_timeout = {}",
            limits.table_lock_timeout.as_millis()
        ),
    ]
}

/// Counts the clients of this database, and those of the role in other databases of the compute, besides
/// this session and Neon's own services. Background processes of Postgres have no user. A migration can
/// leave another `search_path` behind.
pub(super) fn count_other_clients() -> String {
    "SET search_path = pg_catalog, pg_temp; \
     SELECT count(*) FROM pg_stat_activity \
     WHERE (datname = current_database() OR usename = current_user) AND pid <> pg_backend_pid() \
         AND usename IS NOT NULL AND usename <> 'cloud_admin'"
        .to_owned()
}

/// Reads the applied migrations in one round trip, whether or not the table exists. A query that
/// names a missing table would fail, and one that names another kind of relation would run the
/// owner's code, so a `DO` block checks first and returns its result in a session setting: `none`,
/// `invalid ` with a problem of [`PROBLEMS`], or `rows ` with the rows.
pub(super) fn read_state() -> String {
    format!(
        "\
DO $state$
DECLARE
    relation oid := (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = '_sqlx_migrations');
    state text := 'none';
    problem text;
BEGIN
    IF relation IS NOT NULL THEN
        IF (SELECT relkind = 'r' FROM pg_class WHERE oid = relation) THEN
            LOCK TABLE ONLY {MIGRATIONS_TABLE} IN ACCESS SHARE MODE;
        END IF;
        problem := CASE
            WHEN NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = relation AND n.nspname = 'public' AND relname = '_sqlx_migrations'
                    AND relkind = 'r' AND relpersistence <> 't' AND NOT relispartition)
                OR EXISTS (SELECT FROM pg_inherits WHERE relation IN (inhrelid, inhparent)) THEN 'kind'
            WHEN EXISTS (SELECT FROM pg_class
                WHERE oid = relation AND (relrowsecurity OR relforcerowsecurity)) THEN 'security'
            WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation) THEN 'trigger'
            WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = relation) THEN 'rule'
            WHEN (SELECT string_agg(format('%s:%s:%s', attname, atttypid, attnotnull), ',' ORDER BY attname)
                FROM pg_attribute
                WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = '')
                IS DISTINCT FROM 'checksum:17:t,description:25:t,execution_time:20:t,installed_on:1184:t,success:16:t,version:20:t'
                OR EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = relation AND NOT attisdropped AND (attgenerated <> '' OR attidentity <> ''))
                THEN 'columns'
            WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype NOT IN ('p', 'u', 'n'))
                OR EXISTS (SELECT FROM pg_index
                    WHERE indrelid = relation AND (indexprs IS NOT NULL OR indpred IS NOT NULL)) THEN 'constraint'
            WHEN NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'p'
                AND conkey = ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = 'version'))
                THEN 'key'
        END;
        IF problem IS NULL THEN
            state := 'rows ' || coalesce((SELECT string_agg(version || ':' || success::int || ':'
                || CASE WHEN octet_length(checksum) <= {MAX_CHECKSUM_BYTES} THEN encode(checksum, 'hex') ELSE '-' END, ',')
                FROM (SELECT version, success, checksum FROM ONLY {MIGRATIONS_TABLE}
                    WHERE success OR execution_time <> {STARTED} LIMIT {MAX_MIGRATIONS} + 1) r), '');
        ELSE
            state := 'invalid ' || problem;
        END IF;
    END IF;
    PERFORM set_config('tenant_controller.applied', state, false);
END $state$;
SELECT current_database()::text, current_setting('tenant_controller.applied')"
    )
}

/// What the problems in the result of [`read_state`] mean.
const PROBLEMS: [(&str, &str); 7] = [
    (
        "kind",
        "it is not an ordinary table, or it takes part in inheritance",
    ),
    ("security", "it has row-level security"),
    ("trigger", "it has triggers or foreign keys"),
    ("rule", "it has rules"),
    ("columns", "its columns are not those that sqlx creates"),
    (
        "constraint",
        "it has check constraints, or indexes on expressions",
    ),
    ("key", "the column version is not its primary key"),
];

/// The text for a problem in the result of [`read_state`].
pub(super) fn problem(code: &str) -> &'static str {
    PROBLEMS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(OTHER_FORMAT, |(_, text)| text)
}

pub(super) const OTHER_FORMAT: &str = "it does not have the format that sqlx creates";
pub(super) const TOO_MANY_ROWS: &str = "it has more rows than there can be migrations";
pub(super) const INVALID_ROW: &str = "a row has a checksum that sqlx does not write";

/// The key of the advisory lock that sqlx takes to migrate a database of this name.
pub(super) fn lock_id(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32(database.as_bytes()))
}

/// CRC-32 of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let low_bit = crc & 1;
            (crc >> 1) ^ (0xedb8_8320 * low_bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_matches_the_check_value_of_ieee_802_3() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
