//! Hiding secrets in what others say. The API has no reason to repeat one; this is for the day it does.

const HIDDEN: &str = "[hidden]";

/// How the keys and passwords that the platform gives out begin.
const SECRET_PREFIXES: [&str; 2] = ["napi_", "npg_"];

/// The text without the key, without what stands between `://` and `@`, and without words that look like keys or passwords.
pub(super) fn hide_secrets(text: &str, api_key: &str) -> String {
    hide_marked(hide_userinfo(&text.replace(api_key, HIDDEN)))
}

fn hide_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        shown.push_str(before);
        let word = after.find(char::is_whitespace).unwrap_or(after.len());
        rest = match after[..word].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    shown + rest
}

fn hide_marked(mut text: String) -> String {
    for prefix in SECRET_PREFIXES {
        let mut from = 0;
        while let Some(found) = text[from..].find(prefix) {
            let start = from + found;
            let rest = &text[start..];
            let length = rest
                .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                .unwrap_or(rest.len());
            text.replace_range(start..start + length, HIDDEN);
            from = start + HIDDEN.len();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_api_says_is_shown_without_the_key_or_passwords() {
        let text = "key k-1; postgresql://u:pa@ss@h/d and https://ok/x and postgres://v:secret@h; npg_Abc1, napi_x.";
        assert_eq!(
            hide_secrets(text, "k-1"),
            "key [hidden]; postgresql://[hidden]@h/d and https://ok/x and postgres://[hidden]@h; [hidden], [hidden]."
        );
    }

    proptest! {
        #[test]
        fn no_text_with_a_secret_in_it_shows_it(before in "[a-z :/@]{0,20}", password in "hunter2[a-z:/@]{0,8}", after in ".{0,20}") {
            let uri = hide_secrets(&format!("{before}postgresql://user:{password}@host/db {after}"), "key");
            prop_assert!(!uri.contains("hunter2"), "{uri}");
            let marked = hide_secrets(&format!("{before}npg_hunter2{after}"), "key");
            prop_assert!(!marked.contains("hunter2"), "{marked}");
        }
    }
}
