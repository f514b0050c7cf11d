//! SQL that works in Neon and not here: owners of projects cannot create roles and databases, whose
//! names are unique in the PostgreSQL server that the projects share.
//!
//! PostgreSQL rejects such a statement because the owner lacks a privilege, wherever it is: in a query,
//! a function or a `DO` block. The client gets an error that names the limitation instead.

use bytes::Bytes;

use super::wire;

/// The field with the SQLSTATE, `insufficient_privilege`.
const NO_PRIVILEGE: &[u8] = b"C42501";
const FEATURE_NOT_SUPPORTED: &str = "0A000";
const DETAIL: &str = "Projects of the emulator share one PostgreSQL server, in which the names of roles and databases are unique. In Neon, \
    this statement works.";
/// The message field of PostgreSQL's error, the message for the client, and its hint.
const STATEMENTS: [(&[u8], &str, &str); 2] = [
    (
        b"Mpermission denied to create role",
        "the emulator does not support roles that are created with SQL",
        "Create the role with the API (POST /projects/{project_id}/branches/{branch_id}/roles), or use a project of Neon.",
    ),
    (
        b"Mpermission denied to create database",
        "the emulator does not support databases that are created with SQL",
        "Create the database with the API (POST /projects/{project_id}/branches/{branch_id}/databases), or use a project of Neon.",
    ),
];

/// The error for the client, if `error` is the body of PostgreSQL's error for such a statement.
pub(super) fn translate_error(error: &[u8]) -> Option<Bytes> {
    let has_field = |field: &[u8]| error.split(|byte| *byte == 0).any(|other| other == field);
    let (_, message, hint) = STATEMENTS
        .into_iter()
        .find(|(message, ..)| has_field(message) && has_field(NO_PRIVILEGE))?;
    Some(wire::error(&[
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', FEATURE_NOT_SUPPORTED),
        (b'M', message),
        (b'D', DETAIL),
        (b'H', hint),
    ]))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::data_plane::message_filter::{ERROR, MessageFilter};
    use crate::data_plane::wire::put_message;

    const CREATE_ROLE: &[u8] = b"SERROR\0VERROR\0C42501\0Mpermission denied to create role\0DOnly roles with the CREATEROLE attribute may create roles.\0\0";

    #[test]
    fn only_the_errors_of_unsupported_statements_are_translated_however_the_response_is_split() {
        let other =
            b"SERROR\0C42501\0Mpermission denied for table permission denied to create role\0\0";
        let mut all = BytesMut::new();
        put_message(&mut all, b'D', &[CREATE_ROLE]);
        put_message(&mut all, b'E', &[other]);
        let before = all.len();
        put_message(&mut all, b'E', &[CREATE_ROLE]);
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
