//! Styles, scripts and fonts, embedded at build time.
//!
//! Each file name contains the hash of the content, so browsers may cache a file forever.
//! `build.rs` generates the table.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[derive(Debug)]
pub struct Asset {
    /// The path below `/assets/`, including the hash.
    pub file: &'static str,
    pub media_type: &'static str,
    pub bytes: &'static [u8],
    /// The compressed content, if it is smaller.
    pub gzip: Option<&'static [u8]>,
}

pub fn find(file: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.file == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stylesheet_references_only_embedded_files() {
        let css = find(APP_CSS.trim_start_matches("/assets/")).unwrap();
        let css = std::str::from_utf8(css.bytes).unwrap();
        let urls: Vec<&str> = css
            .split("url(")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(url, _)| url.trim_matches(['"', '\'']))
            .collect();
        assert!(!urls.is_empty());
        for url in urls {
            assert!(url.starts_with("data:") || find(url).is_some(), "{url}");
        }
    }
}
