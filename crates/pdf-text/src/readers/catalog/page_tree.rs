//! The pages that the file should have, by its page tree and its linearization.

use std::collections::{HashMap, HashSet};

use hayro_interpret::hayro_syntax::Pdf;
use hayro_interpret::hayro_syntax::object::{
    Array, Dict, MaybeRef, Name, Object, ObjectIdentifier,
};

use super::catalog;

/// Maximum depth of the page tree.
const MAX_DEPTH: usize = 64;
/// Maximum number of pages that are looked for.
const MAX_PAGES: usize = 100_000;
/// Length of the part of the file with the linearization dictionary, in bytes.
const LINEARIZATION_BYTES: usize = 2_048;

/// Numbers of the pages that were found and of those that are missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::readers) struct PageTree {
    /// Page numbers of the reader's pages, in its order.
    pub(in crate::readers) numbers: Vec<u32>,
    /// Numbers of the pages that the file has lost, in ascending order.
    pub(in crate::readers) missing: Vec<u32>,
    /// The count of the page tree, if it has fewer pages.
    pub(in crate::readers) announced: Option<u32>,
}

impl PageTree {
    pub(in crate::readers) fn of(pdf: &Pdf, file: &[u8]) -> Self {
        let pages: Vec<Option<ObjectIdentifier>> =
            pdf.pages().iter().map(|page| page.raw().obj_id()).collect();
        let mut walk = Walk {
            pdf,
            visited: HashSet::new(),
            leaves: Vec::new(),
        };
        let root = catalog(pdf).and_then(|catalog| catalog.get::<Dict<'_>>(b"Pages"));
        if let Some(root) = &root {
            walk.node(root, 0);
        }
        let linearized = linearized_page_count(file).unwrap_or(0);
        let tree = numbered(&pages, &walk.leaves, linearized);
        let count = root.and_then(|root| root.get::<u32>(b"Count"));
        Self {
            announced: count.filter(|&count| count as usize > tree.count()),
            ..tree
        }
    }

    /// Number of pages that the file has or refers to.
    pub(in crate::readers) fn count(&self) -> usize {
        self.numbers.len() + self.missing.len()
    }
}

/// Compares the reader's pages with the leaves of the page tree.
fn numbered(
    pages: &[Option<ObjectIdentifier>],
    leaves: &[Option<ObjectIdentifier>],
    linearized: u32,
) -> PageTree {
    let places: HashMap<ObjectIdentifier, u32> = leaves
        .iter()
        .zip(1..)
        .filter_map(|(id, number)| Some(((*id)?, number)))
        .collect();
    let known: Option<Vec<u32>> = pages
        .iter()
        .map(|id| places.get(&(*id)?).copied())
        .collect();
    let is_ascending = |numbers: &[u32]| numbers.windows(2).all(|pair| pair.first() < pair.get(1));
    let numbers = known
        .filter(|numbers| is_ascending(numbers))
        .unwrap_or_else(|| (1..).take(pages.len()).collect());
    let found: HashSet<u32> = numbers.iter().copied().collect();
    let count = u32::try_from(leaves.len().max(pages.len())).unwrap_or(u32::MAX);
    let count = count.max(linearized);
    PageTree {
        missing: (1..=count)
            .filter(|number| !found.contains(number))
            .collect(),
        numbers,
        announced: None,
    }
}

struct Walk<'pdf> {
    pdf: &'pdf Pdf,
    visited: HashSet<ObjectIdentifier>,
    /// Pages in order: `None` for a page without an identifier or that is lost.
    leaves: Vec<Option<ObjectIdentifier>>,
}

impl<'pdf> Walk<'pdf> {
    fn node(&mut self, node: &Dict<'pdf>, depth: usize) {
        let start = self.leaves.len();
        let mut has_lost = false;
        for kid in node
            .get::<Array<'_>>(b"Kids")
            .iter()
            .flat_map(Array::raw_iter)
        {
            if self.leaves.len() >= MAX_PAGES || depth > MAX_DEPTH {
                return;
            }
            let (id, dict) = match kid {
                MaybeRef::Ref(reference) => {
                    let id = ObjectIdentifier::from(reference);
                    if !self.visited.insert(id) {
                        continue;
                    }
                    (Some(id), self.pdf.xref().get::<Dict<'pdf>>(id))
                }
                MaybeRef::NotRef(Object::Dict(dict)) => (None, Some(dict)),
                MaybeRef::NotRef(_) => continue,
            };
            match dict {
                Some(dict) if is_node(&dict) => self.node(&dict, depth + 1),
                Some(_) => self.leaves.push(id),
                None => {
                    has_lost = true;
                    self.leaves.push(None);
                }
            }
        }
        // A lost kid may be a node with several pages: the count of its parent says how many.
        let count = node.get::<u32>(b"Count").unwrap_or(0) as usize;
        let found = self.leaves.len() - start;
        if has_lost && count > found && count <= MAX_PAGES {
            let at = self
                .leaves
                .iter()
                .skip(start)
                .position(Option::is_none)
                .unwrap_or(found);
            let lost = std::iter::repeat_n(None, count - found);
            self.leaves.splice(start + at..start + at, lost);
        }
    }
}

fn is_node(dict: &Dict<'_>) -> bool {
    match dict.get::<Name<'_>>(b"Type").as_deref() {
        Some(b"Pages") => true,
        Some(b"Page") => false,
        _ => dict.contains_key(b"Kids"),
    }
}

/// Returns the number of pages of a linearized file. `None` if the file was changed afterwards:
/// then it is longer than its linearization says.
fn linearized_page_count(file: &[u8]) -> Option<u32> {
    let start = file.get(..file.len().min(LINEARIZATION_BYTES))?;
    let start = String::from_utf8_lossy(start);
    let (_, dictionary) = start.split_once("/Linearized")?;
    let (dictionary, _) = dictionary.split_once(">>")?;
    let value = |key: &str| -> Option<u64> {
        dictionary.split('/').find_map(|entry| {
            let value = entry.strip_prefix(key)?.trim();
            value.split_whitespace().next()?.parse().ok()
        })
    };
    let length = value("L")?;
    (file.len() as u64 <= length)
        .then(|| u32::try_from(value("N")?).ok())?
        .filter(|&count| count as usize <= MAX_PAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the lists contain options")]
    fn id(number: u32) -> Option<ObjectIdentifier> {
        Some(ObjectIdentifier::new(number, 0))
    }

    #[test]
    fn a_lost_page_keeps_its_number() {
        let tree = numbered(&[id(10), id(12)], &[id(10), None, id(12)], 0);
        assert_eq!(tree.numbers, [1, 3]);
        assert_eq!(tree.missing, [2]);
    }

    #[test]
    fn the_linearization_announces_pages_after_the_end() {
        let tree = numbered(&[id(10), id(12)], &[], 4);
        assert_eq!(tree.numbers, [1, 2]);
        assert_eq!(tree.missing, [3, 4]);
    }

    #[test]
    fn a_file_that_was_changed_is_no_longer_linearized() {
        let file = |length: u32| {
            format!("%PDF-1.4\n1 0 obj\n<< /Linearized 1 /L {length} /N 40 /O 3 >>\nendobj\n")
        };
        assert_eq!(linearized_page_count(file(5_000).as_bytes()), Some(40));
        assert_eq!(linearized_page_count(file(20).as_bytes()), None);
    }
}
