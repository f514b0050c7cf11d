//! What the file says about itself: the pages that it should have, their printed labels, attached
//! files, and whether it is a portfolio or an XFA form.

mod labels;
mod page_tree;

use hayro_interpret::hayro_syntax::Pdf;
use hayro_interpret::hayro_syntax::object::{Array, Dict, Object, String as PdfString};

use super::form_fields::decode;
use crate::report::{MAX_ATTACHMENTS, MAX_NAME_CHARACTERS};
pub(super) use labels::Labels;
pub(super) use page_tree::PageTree;

/// Maximum depth of a tree of names or numbers.
pub(super) const MAX_TREE_DEPTH: usize = 16;

/// A file that is more or less than its pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    /// Names of the attached files.
    pub(crate) attachments: Vec<String>,
    /// Whether the pages are only a cover for the attached files.
    pub(crate) is_portfolio: bool,
    /// Whether it has an XFA form, whose fields only some viewers show.
    pub(crate) is_xfa: bool,
    /// Number of pages that it says it has, if it has fewer and does not refer to the others.
    pub(crate) announced_pages: Option<u32>,
}

pub(super) fn catalog(pdf: &Pdf) -> Option<Dict<'_>> {
    pdf.xref().get::<Dict<'_>>(pdf.xref().root_id())
}

pub(super) fn container(catalog: &Dict<'_>) -> Container {
    let mut attachments = Vec::new();
    if let Some(files) = catalog
        .get::<Dict<'_>>(b"Names")
        .and_then(|names| names.get::<Dict<'_>>(b"EmbeddedFiles"))
    {
        attached_files(&files, 0, &mut attachments);
    }
    Container {
        attachments,
        is_portfolio: catalog.contains_key(b"Collection"),
        is_xfa: catalog
            .get::<Dict<'_>>(b"AcroForm")
            .is_some_and(|form| form.contains_key(b"XFA")),
        announced_pages: None,
    }
}

/// The text without control characters, which neither viewers nor databases can show, and not longer
/// than this.
pub(super) fn printable(text: &str, max_characters: usize) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(max_characters)
        .collect()
}

fn attached_files(tree: &Dict<'_>, depth: usize, found: &mut Vec<String>) {
    if depth > MAX_TREE_DEPTH {
        return;
    }
    if let Some(names) = tree.get::<Array<'_>>(b"Names") {
        let mut key = String::new();
        for (at, entry) in names.iter::<Object<'_>>().enumerate() {
            match entry {
                Object::String(name) if at % 2 == 0 => key = decode(name.as_bytes()),
                Object::Dict(file) if found.len() < MAX_ATTACHMENTS => {
                    let name = file
                        .get::<PdfString<'_>>(b"UF")
                        .or_else(|| file.get::<PdfString<'_>>(b"F"))
                        .map_or_else(|| key.clone(), |name| decode(name.as_bytes()));
                    found.push(printable(&name, MAX_NAME_CHARACTERS));
                }
                _ => {}
            }
        }
    }
    if let Some(kids) = tree.get::<Array<'_>>(b"Kids") {
        for kid in kids.iter::<Dict<'_>>() {
            attached_files(&kid, depth + 1, found);
        }
    }
}
