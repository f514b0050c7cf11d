//! What a database says it has: the rows of `_sqlx_migrations`.

/// One row of `_sqlx_migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its version.
    pub version: i64,
    /// Whether it went through. A migration in a transaction leaves no row when it fails.
    pub success: bool,
    /// The checksum of the text that was run.
    pub checksum: Vec<u8>,
}

/// Reads the rows in the form of `version:success:checksum`, joined by commas, in which [`super::session`] asks for them. `None`
/// when the text has another form.
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
    let checksum = parse_hex(fields.next()?)?;
    fields.next().is_none().then_some(AppliedMigration {
        version,
        success,
        checksum,
    })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back() {
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
    fn anything_else_is_refused() {
        for text in [
            "1", "1:1", "a:1:ab", "1:2:ab", "1:1:a", "1:1:xy", "1:1:ab:", "1:1:ab,", "none",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
