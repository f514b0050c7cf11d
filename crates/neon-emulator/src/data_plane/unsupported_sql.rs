//! SQL that works in Neon and not here, because the names of roles and databases are unique in the
//! PostgreSQL server that the projects share: owners of projects cannot create databases, nor a role
//! whose name another project uses.
//!
//! PostgreSQL rejects such a statement wherever it is: in a query, a function or a `DO` block. The
//! client gets an error that names the limitation instead.

use bytes::Bytes;

use super::wire;

/// The field with the SQLSTATE, `insufficient_privilege`.
const NO_PRIVILEGE: &[u8] = b"C42501";
const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// The field with the SQLSTATE, `duplicate_object`.
const DUPLICATE_OBJECT: &[u8] = b"C42710";
/// The beginning and the end of the message field for a role that exists.
const ROLE_EXISTS: (&[u8], &[u8]) = (b"Mrole \"", b"\" already exists");
const SHARED_NAMES: &str = "Projects of the emulator share one PostgreSQL server, in which the names of roles are unique. The role may \
    belong to another project. In Neon, each project has names of its own.";
const DETAIL: &str = "Projects of the emulator share one PostgreSQL server, in which the names of databases are unique. In Neon, this \
    statement works.";
/// The message field of PostgreSQL's error for a database, and what the client gets.
const CREATE_DATABASE: &[u8] = b"Mpermission denied to create database";
const NO_DATABASES: &str = "the emulator does not support databases that are created with SQL";
const USE_THE_API: &str = "Create the database with the API (POST /projects/{project_id}/branches/{branch_id}/databases), or use a project of Neon.";

/// The error for the client, if `error` is the body of PostgreSQL's error for such a statement.
pub(super) fn translate_error(error: &[u8]) -> Option<Bytes> {
    let has_field = |field: &[u8]| error.split(|byte| *byte == 0).any(|other| other == field);
    if has_field(DUPLICATE_OBJECT) {
        let message = error.split(|byte| *byte == 0).find_map(|field| {
            let is_role = field.starts_with(ROLE_EXISTS.0) && field.ends_with(ROLE_EXISTS.1);
            is_role
                .then(|| std::str::from_utf8(&field[1..]).ok())
                .flatten()
        })?;
        return Some(wire::error(&[
            (b'S', "ERROR"),
            (b'V', "ERROR"),
            (b'C', "42710"),
            (b'M', message),
            (b'D', SHARED_NAMES),
        ]));
    }
    let is_database = has_field(CREATE_DATABASE) && has_field(NO_PRIVILEGE);
    is_database.then(|| {
        wire::error(&[
            (b'S', "ERROR"),
            (b'V', "ERROR"),
            (b'C', FEATURE_NOT_SUPPORTED),
            (b'M', NO_DATABASES),
            (b'D', DETAIL),
            (b'H', USE_THE_API),
        ])
    })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::data_plane::message_filter::{ERROR, MessageFilter};
    use crate::data_plane::wire::put_message;

    const ERROR_BODY: &[u8] = b"SERROR\0VERROR\0C42501\0Mpermission denied to create database\0\0";

    #[test]
    fn a_role_of_the_same_name_is_reported_with_the_limitation() {
        let error = b"SERROR\0VERROR\0C42710\0Mrole \"app\" already exists\0Fuser.c\0\0";
        let translated = translate_error(error).unwrap();
        let text = String::from_utf8_lossy(&translated);
        assert!(
            text.contains("C42710\0Mrole \"app\" already exists\0DProjects"),
            "{text}"
        );
        assert_eq!(
            translate_error(b"C42710\0Mextension \"vector\" already exists\0\0"),
            None
        );
    }

    #[test]
    fn only_the_errors_of_unsupported_statements_are_translated_however_the_response_is_split() {
        let other =
            b"SERROR\0C42501\0Mpermission denied for table permission denied to create database\0\0";
        let mut all = BytesMut::new();
        put_message(&mut all, b'D', &[ERROR_BODY]);
        put_message(&mut all, b'E', &[other]);
        let before = all.len();
        put_message(&mut all, b'E', &[ERROR_BODY]);
        put_message(&mut all, b'Z', &[b"E"]);
        for size in [1, 7, all.len()] {
            let mut filter = MessageFilter::default();
            let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
            for piece in all.chunks(size) {
                from.extend_from_slice(piece);
                let translate = |_, body: &[u8]| translate_error(body);
                filter
                    .take(&mut from, &mut to, &[ERROR], translate)
                    .unwrap();
            }
            assert_eq!(to[..before], all[..before]);
            let rest = String::from_utf8_lossy(&to[before..]);
            assert!(rest.contains("C0A000\0Mthe emulator"), "{rest}");
            assert!(to.ends_with(b"Z\0\0\0\x05E"));
        }
    }
}
