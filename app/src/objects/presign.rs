//! Presigned URLs: let a browser upload or download one file for some minutes.
//!
//! The signature of an upload covers the file's exact length, media type, encoding and SHA-256, so
//! the store itself rejects any other content. It also covers the condition that the key is free:
//! the URL stores the file once, and a repeated upload gets status 412 instead of adding a version
//! that no quota counts.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{ObjectKey, ObjectStore, ObjectStoreError, Sha256Digest};

/// What the presigned URL accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadConstraints {
    pub byte_count: u64,
    /// Such as `application/pdf`.
    pub media_type: String,
    /// Of the file's bytes.
    pub sha256: Sha256Digest,
}

#[derive(Clone, PartialEq, Eq)]
pub struct PresignedPut {
    /// A bearer secret: allows the upload until it expires. Never log it.
    pub url: String,
    /// To be sent unchanged. `Content-Length` is not included, because browsers set it themselves.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for PresignedPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresignedPut").finish_non_exhaustive()
    }
}

/// What a browser does with a downloaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Show it.
    Inline {
        /// The name for saving it.
        file_name: String,
    },
    /// Save it.
    Attachment { file_name: String },
}

impl Disposition {
    /// The `Content-Disposition` value (RFC 6266): an ASCII fallback and the exact name,
    /// percent-encoded.
    fn header(&self) -> String {
        let (disposition, name) = match self {
            Self::Inline { file_name } => ("inline", file_name),
            Self::Attachment { file_name } => ("attachment", file_name),
        };
        let ascii: String = name
            .chars()
            .map(|c| match c {
                '"' | '\\' | '%' | '/' => '_',
                c if c.is_ascii_graphic() || c == ' ' => c,
                _ => '_',
            })
            .collect();
        let encoded = percent_encoding::utf8_percent_encode(name, ATTR_CHAR);
        format!("{disposition}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
    }
}

/// The content encoding of every file. Signed, so that a client cannot store another one, which
/// browsers would apply to downloads.
const CONTENT_ENCODING: &str = "identity";

/// Everything except the `attr-char` of RFC 5987.
const ATTR_CHAR: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

impl ObjectStore {
    /// A URL for uploading one file once, valid for `ttl`.
    pub async fn presign_put(
        &self,
        key: &ObjectKey,
        constraints: &UploadConstraints,
        ttl: Duration,
    ) -> Result<PresignedPut, ObjectStoreError> {
        let length =
            i64::try_from(constraints.byte_count).map_err(|_| ObjectStoreError::InvalidRequest)?;
        let signed = self
            .public
            .put_object()
            .bucket(key.bucket())
            .key(key.key())
            .content_length(length)
            .content_type(&constraints.media_type)
            .content_encoding(CONTENT_ENCODING)
            .if_none_match("*")
            .checksum_sha256(BASE64.encode(constraints.sha256))
            .presigned(expires_in(ttl)?)
            .await
            .map_err(ObjectStoreError::from_sdk)?;
        let headers = signed
            .headers()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(PresignedPut {
            url: signed.uri().to_owned(),
            headers,
        })
    }

    /// A URL for downloading a PDF, valid for `ttl`. The store responds with this disposition and
    /// as unencoded `application/pdf`, regardless of what was uploaded.
    pub async fn presign_get(
        &self,
        key: &ObjectKey,
        disposition: &Disposition,
        ttl: Duration,
    ) -> Result<String, ObjectStoreError> {
        let signed = self
            .public
            .get_object()
            .bucket(key.bucket())
            .key(key.key())
            .response_content_disposition(disposition.header())
            .response_content_type("application/pdf")
            .response_content_encoding(CONTENT_ENCODING)
            .response_cache_control("private, no-store")
            .presigned(expires_in(ttl)?)
            .await
            .map_err(ObjectStoreError::from_sdk)?;
        Ok(signed.uri().to_owned())
    }
}

fn expires_in(ttl: Duration) -> Result<PresigningConfig, ObjectStoreError> {
    PresigningConfig::expires_in(ttl).map_err(|_| ObjectStoreError::InvalidRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str) -> String {
        Disposition::Attachment {
            file_name: name.to_owned(),
        }
        .header()
    }

    #[test]
    fn the_encoded_name_keeps_letters_of_every_alphabet() {
        assert_eq!(
            attachment("Bericht über 2026.pdf"),
            "attachment; filename=\"Bericht _ber 2026.pdf\"; filename*=UTF-8''Bericht%20%C3%BCber%202026.pdf"
        );
    }

    #[test]
    fn a_name_cannot_break_out_of_its_quotes_or_the_header_line() {
        for name in [
            "a\"; filename=\"b.exe",
            "a\\\".pdf",
            "a\r\nSet-Cookie: x=1",
            "'; DROP",
            "a%22.pdf",
        ] {
            let header = attachment(name);
            assert_eq!(header.matches('"').count(), 2, "{header}");
            assert!(
                header.chars().all(|c| c.is_ascii_graphic() || c == ' '),
                "{header}"
            );
            assert!(!header.contains('\\'), "{header}");
            assert_eq!(
                header.matches('\'').count() - usize::from(name.contains('\'')),
                2,
                "{header}"
            );
        }
    }
}
