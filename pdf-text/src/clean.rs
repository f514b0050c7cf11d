//! From lines to text that a person would copy out by hand: no ligatures, no hyphens at line ends, no page headers, paragraphs
//! parted by a blank line; and each word knows where in that text it stands.

mod assemble;
mod characters;
mod hyphens;
mod repeated;

pub(crate) use characters::characters;

use crate::layout::LaidOut;
use crate::page::Page;

/// Clean pages out of a whole document: what is repeated on its pages, and how it writes its compounds, only the whole can tell.
/// The pages come as `(number, page)`, in order.
pub(crate) fn clean(pages: Vec<(u32, LaidOut)>) -> impl Iterator<Item = Page> {
    let compounds = hyphens::Compounds::of(pages.iter().map(|(_, page)| page));
    let repeated = repeated::repeated(&pages);
    pages
        .into_iter()
        .zip(repeated)
        .map(move |((number, mut page), repeated)| {
            let mut repeated = repeated.into_iter();
            page.lines.retain(|_| !repeated.next().unwrap_or(false));
            assemble::assemble(number, &page, &compounds)
        })
}
