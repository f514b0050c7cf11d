//! Redacts secrets in messages of the API. The API has no reason to repeat a secret; this is a
//! precaution.

const REDACTED: &str = "[redacted]";

/// Prefixes of Neon's API keys and passwords.
const SECRET_PREFIXES: [&str; 2] = ["napi_", "npg_"];

/// Replaces the API key, the userinfo of URLs (between `://` and `@`), and words with the prefix of
/// a key or password.
pub(super) fn redact_secrets(text: &str, api_key: &str) -> String {
    redact_prefixed(redact_userinfo(&text.replace(api_key, REDACTED)))
}

fn redact_userinfo(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        redacted.push_str(before);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                redacted.push_str(REDACTED);
                &after[at..]
            }
            None => after,
        };
    }
    redacted + rest
}

fn redact_prefixed(mut text: String) -> String {
    for prefix in SECRET_PREFIXES {
        let mut from = 0;
        while let Some(found) = text[from..].find(prefix) {
            let start = from + found;
            let rest = &text[start..];
            let length = rest
                .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                .unwrap_or(rest.len());
            text.replace_range(start..start + length, REDACTED);
            from = start + REDACTED.len();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn api_keys_passwords_and_userinfo_are_redacted() {
        let text = "key k-1; postgresql://u:pa@ss@h/d and https://ok/x and postgres://v:secret@h; npg_Abc1, napi_x.";
        assert_eq!(
            redact_secrets(text, "k-1"),
            "key [redacted]; postgresql://[redacted]@h/d and https://ok/x and postgres://[redacted]@h; [redacted], [redacted]."
        );
    }

    proptest! {
        #[test]
        fn a_secret_never_remains_in_the_text(before in "[a-z :/@]{0,20}", password in "hunter2[a-z:/@]{0,8}", after in ".{0,20}") {
            let uri = redact_secrets(&format!("{before}postgresql://user:{password}@host/db {after}"), "key");
            prop_assert!(!uri.contains("hunter2"), "{uri}");
            let marked = redact_secrets(&format!("{before}npg_hunter2{after}"), "key");
            prop_assert!(!marked.contains("hunter2"), "{marked}");
        }
    }
}
