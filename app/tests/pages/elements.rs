//! A minimal HTML tokenizer for the output of maud, which quotes every attribute and escapes every
//! `<` in text. Any other `<` therefore starts a tag, and injected markup would show up as an
//! element.

/// A start or end tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) is_end: bool,
    pub(crate) attributes: Vec<(String, String)>,
    /// The text up to the next tag.
    pub(crate) text_after: String,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(attribute, _)| attribute == name)
            .map(|(_, value)| value.as_str())
    }
}

/// All tags of a page, in order.
pub(crate) fn tags(html: &str) -> Vec<Tag> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (tag, after) = tag(&rest[at + 1..]);
        rest = after;
        let text = &rest[..rest.find('<').unwrap_or(rest.len())];
        out.push(Tag {
            text_after: unescape(text),
            ..tag
        });
    }
    out
}

fn tag(text: &str) -> (Tag, &str) {
    let is_end = text.starts_with('/');
    let text = text.strip_prefix('/').unwrap_or(text);
    let end = text
        .find([' ', '>'])
        .unwrap_or_else(|| panic!("unterminated tag: {text:.60}"));
    let (name, mut rest) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return (
                Tag {
                    name: name.to_lowercase(),
                    is_end,
                    attributes,
                    text_after: String::new(),
                },
                after,
            );
        }
        let end = rest
            .find(['=', ' ', '>'])
            .unwrap_or_else(|| panic!("unterminated tag <{name}"));
        let attribute = rest[..end].to_lowercase();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let end = quoted
                .find('"')
                .unwrap_or_else(|| panic!("unterminated attribute {attribute} of <{name}"));
            value = unescape(&quoted[..end]);
            rest = &quoted[end + 1..];
        } else {
            assert!(
                !rest.starts_with('='),
                "attribute {attribute} of <{name} is not quoted"
            );
        }
        attributes.push((attribute, value));
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
