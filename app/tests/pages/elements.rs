//! Reads a page's elements. Pages come from maud, which quotes every attribute and escapes every `<` of a text, so that a `<` is always
//! the beginning of a tag: what text smuggled in would be read as an element here, and found.

/// An element's beginning or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) is_end: bool,
    pub(crate) attributes: Vec<(String, String)>,
    /// The text between this tag and the next.
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

/// Every tag of a page, in order.
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
        .unwrap_or_else(|| panic!("a tag does not end: {text:.60}"));
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
            .unwrap_or_else(|| panic!("<{name} does not end"));
        let attribute = rest[..end].to_lowercase();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let end = quoted
                .find('"')
                .unwrap_or_else(|| panic!("{attribute} of <{name} does not end"));
            value = unescape(&quoted[..end]);
            rest = &quoted[end + 1..];
        } else {
            assert!(
                !rest.starts_with('='),
                "{attribute} of <{name} is not quoted"
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
