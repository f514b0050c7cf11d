//! Decodes files, which must be UTF-8.

use super::set_error::MigrationSetError;

/// The text of a file. The error names the encoding that the file seems to have.
pub(super) fn decode(file: &str, bytes: Vec<u8>) -> Result<String, MigrationSetError> {
    let not_utf8 = |encoding| MigrationSetError::NotUtf8 {
        file: file.to_owned(),
        encoding,
    };
    // The mark of UTF-32 (little endian) begins with that of UTF-16.
    match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(not_utf8("UTF-32")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(not_utf8("UTF-16")),
        _ => {}
    }
    let text =
        String::from_utf8(bytes).map_err(|_| not_utf8("another encoding, such as Windows-1252"))?;
    if looks_like_utf16(text.as_bytes()) {
        return Err(not_utf8("UTF-16"));
    }
    Ok(text)
}

/// Whether every second byte of the start is zero, as in ASCII text that is encoded in UTF-16.
fn looks_like_utf16(bytes: &[u8]) -> bool {
    let Some(start) = bytes.get(..8) else {
        return false;
    };
    let zeros = |first: usize| start.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    zeros(0) || zeros(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_another_encoding_is_rejected_by_name() {
        let utf16 = |bytes: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
            let mark = mark.then_some(0xfeff);
            mark.into_iter()
                .chain("SELECT 1;".encode_utf16())
                .flat_map(bytes)
                .collect()
        };
        for (bytes, expected) in [
            (utf16(u16::to_le_bytes, true), "UTF-16"),
            (utf16(u16::to_be_bytes, true), "UTF-16"),
            (utf16(u16::to_le_bytes, false), "UTF-16"),
            (utf16(u16::to_be_bytes, false), "UTF-16"),
            (vec![0xff, 0xfe, 0, 0, b'S', 0, 0, 0], "UTF-32"),
            (b"SELECT '\xfc'".to_vec(), "another encoding"),
        ] {
            let error = decode("0002_a.sql", bytes).expect_err(expected).to_string();
            assert!(
                error.contains("0002_a.sql") && error.contains(expected),
                "{error}"
            );
        }
        assert_eq!(decode("a.sql", "ü".into()).expect("UTF-8"), "ü");
    }
}
