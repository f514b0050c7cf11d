//! Parses the file names of migrations, `<version>_<description>.sql`, as sqlx does, but more
//! strictly.
//!
//! sqlx skips names in another format, so that a file called `init.sql` would silently never run.
//! This module treats every file that ends in `.sql` as a migration and rejects it if its name is
//! invalid. It skips other files, such as a README.

use std::path::Path;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct MigrationFileName {
    /// The number before the first `_`; not negative.
    pub(super) version: i64,
    /// The rest, with each `_` replaced by a space, as stored in `_sqlx_migrations`.
    pub(super) description: String,
}

/// Returns `Ok(None)` for a file that is not a migration. The error says what is wrong with the
/// name.
pub(super) fn parse(name: &str) -> Result<Option<MigrationFileName>, &'static str> {
    if !is_sql(name) {
        return Ok(None);
    }
    let Some(stem) = name.strip_suffix(".sql") else {
        return Err("the extension must be .sql, in lower case");
    };
    if matches!(stem.rsplit_once('.'), Some((_, "up" | "down"))) {
        return Err("reversible migrations are not supported: use one file without .up or .down");
    }
    let Some((version, description)) = stem.split_once('_') else {
        return Err("use the format <version>_<description>.sql, such as 0002_threads.sql");
    };
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the part before the first _ must be a number, such as 0002");
    }
    let version: i64 = version
        .parse()
        .map_err(|_| "the version must be at most 9223372036854775807")?;
    // This also keeps quotes and line breaks out of the SQL that records the migration.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if description.is_empty() || !description.bytes().all(is_allowed) {
        return Err("the description must consist of letters, digits, _ and -");
    }
    Ok(Some(MigrationFileName {
        version,
        description: description.replace('_', " "),
    }))
}

/// Whether the extension is `.sql` in any case, so that a wrong case can be reported.
pub(super) fn is_sql(name: &str) -> bool {
    let ending = Path::new(name).extension();
    !name.starts_with('.') && ending.is_some_and(|ending| ending.eq_ignore_ascii_case("sql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_parsed_into_version_and_description() {
        for (name, version, description) in [
            ("0001_documents.sql", 1, "documents"),
            ("1_a.sql", 1, "a"),
            ("0_init.sql", 0, "init"),
            (
                "20260131120000_add_threads-2.sql",
                20_260_131_120_000,
                "add threads-2",
            ),
            ("9223372036854775807_last.sql", i64::MAX, "last"),
        ] {
            let expected = MigrationFileName {
                version,
                description: description.to_owned(),
            };
            assert_eq!(parse(name), Ok(Some(expected)), "{name}");
        }
    }

    #[test]
    fn files_that_are_not_sql_are_skipped() {
        for name in [
            "README.md",
            "0001_a.sql.bak",
            "0001_a.sql~",
            ".0001_a.sql",
            "..data",
            "sql",
        ] {
            assert_eq!(parse(name), Ok(None), "{name}");
        }
    }

    #[test]
    fn sql_files_with_invalid_names_are_rejected_with_a_correction() {
        for (name, expected) in [
            ("init.sql", "<version>_<description>"),
            ("0001_a.SQL", "lower case"),
            ("0001_a.up.sql", "reversible"),
            ("0001_a.down.sql", "reversible"),
            ("_a.sql", "number"),
            ("-1_a.sql", "number"),
            ("+1_a.sql", "number"),
            ("1 _a.sql", "number"),
            ("9223372036854775808_a.sql", "at most"),
            ("1_.sql", "description"),
            ("1_it's.sql", "description"),
            ("1_a\n.sql", "description"),
            ("1_a.sql.sql", "description"),
        ] {
            let problem = parse(name).expect_err(name);
            assert!(problem.contains(expected), "{name}: {problem}");
        }
    }
}
