//! The path to return to after signing in, restricted to this app.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Token;

const MAX_PATH_BYTES: usize = 1024;
/// Characters to encode in a query value.
const QUERY_VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?');

/// A path of the app with its query. Anything else becomes the start page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The start page.
    pub fn start() -> Self {
        Self("/".to_owned())
    }

    /// The path, if it belongs to this app, or the start page.
    pub fn new(path: &str) -> Self {
        if is_local_path(path) {
            Self(path.to_owned())
        } else {
            Self::start()
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The token, if the path is that of an invitation link.
    pub fn invitation(&self) -> Option<Token> {
        let rest = self.0.strip_prefix("/invitations/")?;
        rest.split('?').next()?.parse().ok()
    }

    /// The sign-in page with this path as its `return_to` parameter.
    pub fn sign_in_path(&self) -> String {
        if self.0 == "/" {
            "/sign-in".to_owned()
        } else {
            format!(
                "/sign-in?return_to={}",
                utf8_percent_encode(&self.0, QUERY_VALUE)
            )
        }
    }
}

/// Browsers treat `//host`, `/\host` and variants with tabs or newlines as other sites.
fn is_local_path(path: &str) -> bool {
    let mut chars = path.chars();
    path.len() <= MAX_PATH_BYTES
        && chars.next() == Some('/')
        && !matches!(chars.next(), Some('/' | '\\'))
        && path.chars().all(|c| c.is_ascii_graphic() && c != '\\')
        && !path.starts_with("/sign-in")
        && !path.starts_with("/sign-out")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn paths_of_the_app_keep_their_query() {
        for path in ["/", "/account", "/w/abcdefghijkl/documents?q=a%20b"] {
            assert_eq!(ReturnTo::new(path).as_str(), path);
        }
    }

    #[test]
    fn only_the_path_of_an_invitation_has_its_token() {
        let token = Token::random();
        let path = format!("/invitations/{}", token.reveal());
        for path in [path.clone(), format!("{path}?notice=x")] {
            let found = ReturnTo::new(&path).invitation();
            assert_eq!(
                found.map(|found| found.reveal()),
                Some(token.reveal()),
                "{path}"
            );
        }
        for path in [
            "/",
            "/invitations/",
            "/invitations/short",
            &format!("{path}/more"),
        ] {
            assert!(ReturnTo::new(path).invitation().is_none(), "{path}");
        }
    }

    #[test]
    fn other_sites_become_the_start_page() {
        for path in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x",
            "/sign-in?return_to=/",
        ] {
            assert_eq!(ReturnTo::new(path), ReturnTo::start(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn any_input_stays_on_this_origin(path in "[/\\\\a-z.:@?#%\t\n0-9]{0,40}") {
            let base = Url::parse("https://app.example/sign-in/callback").expect("base");
            let target = base.join(ReturnTo::new(&path).as_str()).expect("a URL");
            prop_assert_eq!(target.origin(), base.origin());
        }

        #[test]
        fn the_sign_in_path_round_trips(path in "/[a-z0-9/?=&%+]{0,30}") {
            let to = ReturnTo::new(&path);
            let base = Url::parse("https://app.example").expect("base");
            let url = base.join(&to.sign_in_path()).expect("a URL");
            let read = url.query_pairs().find(|(key, _)| key == "return_to");
            let read = read.map_or_else(|| "/".to_owned(), |(_, value)| value.into_owned());
            prop_assert_eq!(read, to.as_str());
        }
    }
}
