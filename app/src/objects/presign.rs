//! URLs that let a browser send one file, or read one, for some minutes.
//!
//! What is signed cannot be changed by whoever holds the URL: for sending, the file's exact length, type and SHA-256, so that the
//! store itself refuses everything else. The same file may be sent again, which a browser does when the answer was lost.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Objects, ObjectsError, Place, Sha256Digest};

/// What may be sent, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutTerms {
    /// Its length.
    pub byte_count: u64,
    /// Its type, such as `application/pdf`.
    pub media_type: String,
    /// Of its bytes.
    pub sha256: Sha256Digest,
}

/// Where and how to send a file.
#[derive(Clone, PartialEq, Eq)]
pub struct PresignedPut {
    /// Whoever has it may send the file until it expires: not for logs.
    pub url: String,
    /// To be sent with it as they are. The length is not among them, since browsers set it themselves.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for PresignedPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresignedPut").finish_non_exhaustive()
    }
}

/// What a browser does with a file that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It shows it.
    Inline {
        /// What it is called when saved.
        file_name: String,
    },
    /// It saves it.
    Attachment {
        /// What it is called.
        file_name: String,
    },
}

impl Disposition {
    /// The header's value, as RFC 6266 wants it: a plain name for old readers, the exact one encoded.
    fn header(&self) -> String {
        let (kind, name) = match self {
            Self::Inline { file_name } => ("inline", file_name),
            Self::Attachment { file_name } => ("attachment", file_name),
        };
        let plain: String = name
            .chars()
            .map(|c| match c {
                '"' | '\\' | '%' | '/' => '_',
                c if c.is_ascii_graphic() || c == ' ' => c,
                _ => '_',
            })
            .collect();
        let exact = percent_encoding::utf8_percent_encode(name, ATTR_CHAR);
        format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
    }
}

/// Everything but the `attr-char` of RFC 5987.
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

impl Objects {
    /// A URL to send one file to its place, good for `ttl`.
    pub async fn presign_put(
        &self,
        place: &Place,
        terms: &PutTerms,
        ttl: Duration,
    ) -> Result<PresignedPut, ObjectsError> {
        let length = i64::try_from(terms.byte_count).map_err(|_| ObjectsError::Unmade)?;
        let signed = self
            .public
            .put_object()
            .bucket(place.bucket())
            .key(place.key())
            .content_length(length)
            .content_type(&terms.media_type)
            .checksum_sha256(BASE64.encode(terms.sha256))
            .presigned(expires_in(ttl)?)
            .await
            .map_err(ObjectsError::from_sdk)?;
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

    /// A URL to read a PDF, good for `ttl`. The store answers with this disposition and as a PDF, whatever was sent.
    pub async fn presign_get(
        &self,
        place: &Place,
        disposition: &Disposition,
        ttl: Duration,
    ) -> Result<String, ObjectsError> {
        let signed = self
            .public
            .get_object()
            .bucket(place.bucket())
            .key(place.key())
            .response_content_disposition(disposition.header())
            .response_content_type("application/pdf")
            .response_cache_control("private, no-store")
            .presigned(expires_in(ttl)?)
            .await
            .map_err(ObjectsError::from_sdk)?;
        Ok(signed.uri().to_owned())
    }
}

fn expires_in(ttl: Duration) -> Result<PresigningConfig, ObjectsError> {
    PresigningConfig::expires_in(ttl).map_err(|_| ObjectsError::Unmade)
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
    fn names_of_every_alphabet_keep_their_letters_in_the_encoded_form() {
        assert_eq!(
            attachment("Bericht über 2026.pdf"),
            "attachment; filename=\"Bericht _ber 2026.pdf\"; filename*=UTF-8''Bericht%20%C3%BCber%202026.pdf"
        );
    }

    #[test]
    fn a_name_cannot_leave_its_quotes_or_its_line() {
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
