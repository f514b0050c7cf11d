//! File names of migrations: `<version>_<description>.sql`, read as sqlx reads them, but strictly.
//!
//! sqlx passes over names that do not fit, so a file called `init.sql` would silently never run. Here whatever ends in
//! `.sql` is meant as a migration and has to fit; whatever does not (a README beside them) is not ours.

use std::path::Path;

/// What a file name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileName {
    /// The number before the first `_`; more than zero.
    pub(super) version: i64,
    /// The rest, with spaces for `_`, as it stands in `_sqlx_migrations`.
    pub(super) description: String,
}

/// Reads a name. `Ok(None)` is a file that is no migration; an error says what is wrong with the name.
pub(super) fn parse(name: &str) -> Result<Option<FileName>, &'static str> {
    if !is_sql(name) {
        return Ok(None);
    }
    let Some(stem) = name.strip_suffix(".sql") else {
        return Err("write the ending as .sql, in lower case");
    };
    if matches!(stem.rsplit_once('.'), Some((_, "up" | "down"))) {
        return Err("migrations only go forward: write one file without .up or .down");
    }
    let Some((version, description)) = stem.split_once('_') else {
        return Err("write it as <version>_<description>.sql, such as 0002_threads.sql");
    };
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the part before the first _ has to be a number, such as 0002");
    }
    let version: i64 = version
        .parse()
        .map_err(|_| "the version is too large: at most 9223372036854775807")?;
    if version == 0 {
        return Err("versions begin at 1");
    }
    // Also what keeps quotes and line ends out of the SQL that records it.
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if description.is_empty() || !description.bytes().all(word) {
        return Err("the description has to be of letters, digits, _ and -");
    }
    Ok(Some(FileName {
        version,
        description: description.replace('_', " "),
    }))
}

/// Whether a name is that of SQL, rightly written or not.
pub(super) fn is_sql(name: &str) -> bool {
    let ending = Path::new(name).extension();
    !name.starts_with('.') && ending.is_some_and(|ending| ending.eq_ignore_ascii_case("sql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_migrations_are_read_as_version_and_description() {
        for (name, version, description) in [
            ("0001_documents.sql", 1, "documents"),
            ("1_a.sql", 1, "a"),
            (
                "20260131120000_add_threads-2.sql",
                20_260_131_120_000,
                "add threads-2",
            ),
            ("9223372036854775807_last.sql", i64::MAX, "last"),
        ] {
            let expected = FileName {
                version,
                description: description.to_owned(),
            };
            assert_eq!(parse(name), Ok(Some(expected)), "{name}");
        }
    }

    #[test]
    fn files_that_are_no_sql_are_left_alone() {
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
    fn sql_files_with_other_names_are_refused_with_what_to_write() {
        for (name, word) in [
            ("init.sql", "<version>_<description>"),
            ("0001_a.SQL", "lower case"),
            ("0001_a.up.sql", "forward"),
            ("0001_a.down.sql", "forward"),
            ("_a.sql", "number"),
            ("-1_a.sql", "number"),
            ("+1_a.sql", "number"),
            ("1 _a.sql", "number"),
            ("0_a.sql", "begin at 1"),
            ("9223372036854775808_a.sql", "too large"),
            ("1_.sql", "description"),
            ("1_it's.sql", "description"),
            ("1_a\n.sql", "description"),
            ("1_a.sql.sql", "description"),
        ] {
            let refused = parse(name).expect_err(name);
            assert!(refused.contains(word), "{name}: {refused}");
        }
    }
}
