//! Where to go after signing in: a path of the app, never another site.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Longest path that is kept, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// What may not stand bare in a query's value.
const IN_QUERY: &AsciiSet = &CONTROLS
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

/// A path of the app with its query; anything else that was asked for becomes the first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The first page.
    pub fn start() -> Self {
        Self("/".to_owned())
    }

    /// This path, if it is one that stays here.
    pub fn new(wished: &str) -> Self {
        if stays_here(wished) {
            Self(wished.to_owned())
        } else {
            Self::start()
        }
    }

    /// As it goes into `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sign-in page that comes back here.
    pub fn sign_in_path(&self) -> String {
        if self.0 == "/" {
            "/sign-in".to_owned()
        } else {
            format!(
                "/sign-in?return_to={}",
                utf8_percent_encode(&self.0, IN_QUERY)
            )
        }
    }
}

/// Browsers read `//host`, `/\host` and the like, also with tabs and line ends between, as other sites.
fn stays_here(path: &str) -> bool {
    let mut chars = path.chars();
    path.len() <= PATH_BYTES_MAX
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
    fn paths_of_the_app_are_kept_with_their_query() {
        for path in ["/", "/account", "/w/abcdefghijkl/documents?q=a%20b"] {
            assert_eq!(ReturnTo::new(path).as_str(), path);
        }
    }

    #[test]
    fn other_sites_become_the_first_page() {
        for wished in [
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
            assert_eq!(ReturnTo::new(wished), ReturnTo::start(), "{wished:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_browser_stays_on_this_origin(wished in "[/\\\\a-z.:@?#%\t\n0-9]{0,40}") {
            let base = Url::parse("https://app.example/sign-in/callback").expect("base");
            let target = base.join(ReturnTo::new(&wished).as_str()).expect("a URL");
            prop_assert_eq!(target.origin(), base.origin());
        }

        #[test]
        fn the_sign_in_page_reads_back_where_to_return(path in "/[a-z0-9/?=&%+]{0,30}") {
            let to = ReturnTo::new(&path);
            let base = Url::parse("https://app.example").expect("base");
            let url = base.join(&to.sign_in_path()).expect("a URL");
            let read = url.query_pairs().find(|(key, _)| key == "return_to");
            let read = read.map_or_else(|| "/".to_owned(), |(_, value)| value.into_owned());
            prop_assert_eq!(read, to.as_str());
        }
    }
}
