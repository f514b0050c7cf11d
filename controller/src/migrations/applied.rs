//! The migrations recorded in a database: the rows of `_sqlx_migrations`.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    pub version: i64,
    /// False if the migration was started and not finished. A migration that fails in a transaction
    /// leaves no row.
    pub success: bool,
    /// Checksum of the SQL that ran.
    pub checksum: Vec<u8>,
}

/// Parses rows in the format `version:success:checksum`, joined by commas, in which the query of
/// [`super::session`] returns them. Returns `None` for any other format.
pub(super) fn parse(text: &str) -> Option<Vec<AppliedMigration>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(parse_row).collect()
}

fn parse_row(row: &str) -> Option<AppliedMigration> {
    let mut fields = row.split(':');
    let version = fields.next()?.parse().ok()?;
    let success = match fields.next()? {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    let checksum = hex::decode(fields.next()?).ok()?;
    fields.next().is_none().then_some(AppliedMigration {
        version,
        success,
        checksum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_parsed() {
        assert_eq!(parse(""), Some(vec![]));
        let expected = vec![
            AppliedMigration {
                version: 1,
                success: true,
                checksum: vec![0xab, 0x01],
            },
            AppliedMigration {
                version: -7,
                success: false,
                checksum: vec![],
            },
        ];
        assert_eq!(parse("1:1:ab01,-7:0:"), Some(expected));
    }

    #[test]
    fn any_other_format_is_rejected() {
        for text in [
            "1", "1:1", "a:1:ab", "1:2:ab", "1:1:a", "1:1:xy", "1:1:ab:", "1:1:ab,", "none",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
