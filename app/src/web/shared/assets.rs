//! Styles, scripts and the typeface, embedded at build time under names that hold their content's hash.
//!
//! A name never gets other content, so browsers keep a file for a year and ask for nothing again. The table comes from `build.rs`.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// Its name below `/assets/`, hash included.
    pub file: &'static str,
    /// What it is, as `Content-Type` says it.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// Its content compressed, where that makes it smaller.
    pub gzip: Option<&'static [u8]>,
}

/// The file of that name, if it is embedded.
pub fn find(file: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.file == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stylesheet_asks_for_embedded_files_and_for_nothing_else() {
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
