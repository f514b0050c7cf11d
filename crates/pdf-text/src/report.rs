//! What could be read of each page, and the messages about it for the user.

use serde::{Deserialize, Serialize};

/// Maximum number of attached files that a report names.
pub(crate) const MAX_ATTACHMENTS: usize = 100;
/// Maximum length of the name of an attached file, in characters.
pub(crate) const MAX_NAME_CHARACTERS: usize = 100;
/// Maximum length of a page label, in characters.
pub(crate) const MAX_LABEL_CHARACTERS: usize = 32;
/// Maximum number of attached files that a warning names.
const MAX_NAMES_SHOWN: usize = 5;
/// Maximum number of ranges of pages that a warning lists.
const MAX_RANGES_SHOWN: usize = 8;

/// What a page consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Its text was read.
    #[default]
    Text,
    /// An image or a drawing without text, such as a scan.
    Image,
    /// Most of its text uses a font without character codes.
    UnreadableFont,
    /// Its text was read, but it is not language: a cipher font or a wrong encoding.
    Garbled,
    /// Neither text nor images.
    Empty,
    Damaged,
    /// The file refers to the page but does not contain it.
    Missing,
}

impl PageKind {
    /// Whether text of the page may be missing in the extraction.
    pub fn is_unread(self) -> bool {
        match self {
            Self::Text | Self::Empty => false,
            Self::Image | Self::UnreadableFont | Self::Garbled | Self::Damaged | Self::Missing => {
                true
            }
        }
    }
}

/// The kind of each page of a document, and what else the file contains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageReport {
    /// Number of pages that the file should have.
    pub page_count: u32,
    /// Ranges of consecutive pages of one kind, ascending and without gaps.
    pub ranges: Vec<PageRange>,
    /// Names of attached files, whose content is not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// Whether the file is a portfolio: a cover page for its attached files.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_portfolio: bool,
    /// Whether the file has an XFA form, whose fields may not be among the text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_xfa: bool,
    /// Number of pages that the file says it has, if it has fewer and does not refer to the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced_pages: Option<u32>,
    /// Printed page labels that differ from the page number, such as `iv`, with the page number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(u32, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    pub first: u32,
    pub last: u32,
    pub kind: PageKind,
}

impl PageReport {
    /// Adds the next page.
    pub(crate) fn push(&mut self, number: u32, kind: PageKind) {
        match self.ranges.last_mut() {
            Some(range) if range.kind == kind && range.last + 1 == number => range.last = number,
            _ => self.ranges.push(PageRange {
                first: number,
                last: number,
                kind,
            }),
        }
    }

    /// Whether the report is consistent and within the limits, so that later code does not have to check
    /// it again.
    pub(crate) fn is_valid(&self, max_pages: u32) -> bool {
        let are_pages = |first: u32, last: u32, previous: u32| {
            previous < first && first <= last && last <= self.page_count
        };
        let is_text = |text: &str, max_characters: usize| {
            text.chars().count() <= max_characters && !text.chars().any(char::is_control)
        };
        let mut last_page = 0;
        let mut last_label = 0;
        self.page_count <= max_pages
            && self.ranges.iter().all(|range| {
                let previous = std::mem::replace(&mut last_page, range.last);
                are_pages(range.first, range.last, previous)
            })
            && self.labels.iter().all(|(page, label)| {
                let previous = std::mem::replace(&mut last_label, *page);
                are_pages(*page, *page, previous) && is_text(label, MAX_LABEL_CHARACTERS)
            })
            && self.attachments.len() <= MAX_ATTACHMENTS
            && self
                .attachments
                .iter()
                .all(|name| is_text(name, MAX_NAME_CHARACTERS))
    }

    /// The printed label of a page, if it is not the page's number.
    pub fn label(&self, page: u32) -> Option<&str> {
        self.labels
            .iter()
            .find(|(number, _)| *number == page)
            .map(|(_, label)| label.as_str())
    }

    /// Number of pages of a kind.
    pub fn count(&self, kind: PageKind) -> u32 {
        self.pages(|other| other == kind)
    }

    /// Number of pages whose text may be missing.
    pub fn unread_count(&self) -> u32 {
        self.pages(PageKind::is_unread)
    }

    /// Numbers of the pages whose text may be missing, in ascending order.
    pub fn unread(&self) -> Vec<u32> {
        self.ranges
            .iter()
            .filter(|range| range.kind.is_unread())
            .flat_map(|range| range.first..=range.last)
            .collect()
    }

    fn pages(&self, is_counted: impl Fn(PageKind) -> bool) -> u32 {
        self.ranges
            .iter()
            .filter(|range| is_counted(range.kind))
            .map(|range| range.last - range.first + 1)
            .sum()
    }

    /// Summary for a list of documents, such as `198 of 311 pages are images.` `None` if everything
    /// was read.
    pub fn summary(&self) -> Option<String> {
        let unread = self.unread_count();
        if unread == 0 {
            return self.count_warning().or_else(|| self.container_warning());
        }
        let pages = if self.page_count == 1 {
            "page"
        } else {
            "pages"
        };
        let kinds: Vec<PageKind> = WARNED
            .into_iter()
            .filter(|kind| self.count(*kind) > 0)
            .collect();
        let what = match (kinds.as_slice(), unread) {
            ([PageKind::Image], 1) => "is an image",
            ([PageKind::Image], _) => "are images",
            ([PageKind::UnreadableFont], 1) => "uses a font without character codes",
            ([PageKind::UnreadableFont], _) => "use a font without character codes",
            ([PageKind::Missing], 1) => "is missing in the file",
            ([PageKind::Missing], _) => "are missing in the file",
            _ => "couldn\u{2019}t be read",
        };
        Some(format!("{unread} of {} {pages} {what}.", self.page_count))
    }

    /// Messages for the user that name the pages that could not be read and why.
    pub fn warnings(&self) -> Vec<String> {
        WARNED
            .into_iter()
            .filter(|kind| self.count(*kind) > 0)
            .map(|kind| self.warning(kind))
            .chain(self.count_warning())
            .chain(self.container_warning())
            .collect()
    }

    fn warning(&self, kind: PageKind) -> String {
        let numbers: Vec<(u32, u32)> = self
            .ranges
            .iter()
            .filter(|range| range.kind == kind)
            .map(|range| (range.first, range.last))
            .collect();
        let one = self.count(kind) == 1;
        let pages = format!("{} {}", if one { "page" } else { "pages" }, list(&numbers));
        let capital = pages.replacen('p', "P", 1);
        match kind {
            PageKind::Image => format!(
                "{capital} {} without text. Run text recognition (OCR) on the file and upload the result to search {}.",
                if one { "is an image" } else { "are images" },
                if one { "it" } else { "them" },
            ),
            PageKind::UnreadableFont => format!(
                "The text on {pages} uses a font without character codes and could not be read. Print the file to a new PDF from the program that made it."
            ),
            PageKind::Garbled => format!(
                "The text on {pages} may be garbled: its font or encoding has wrong character codes."
            ),
            PageKind::Missing => format!(
                "{capital} {} missing in the file, which is incomplete.",
                if one { "is" } else { "are" }
            ),
            PageKind::Damaged | PageKind::Text | PageKind::Empty => format!(
                "{capital} {} damaged and could not be read.",
                if one { "is" } else { "are" }
            ),
        }
    }

    fn count_warning(&self) -> Option<String> {
        let announced = self.announced_pages?;
        Some(format!(
            "The file says that it has {announced} pages, but contains {}. Check in a viewer that no page is missing.",
            self.page_count
        ))
    }

    fn container_warning(&self) -> Option<String> {
        let names = self
            .attachments
            .iter()
            .take(MAX_NAMES_SHOWN)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let more = if self.attachments.len() > MAX_NAMES_SHOWN {
            ", …"
        } else {
            ""
        };
        if self.is_portfolio {
            Some(format!(
                "This PDF is a portfolio. Its attached files were not read: {names}{more}. Save them and upload them separately."
            ))
        } else if !self.attachments.is_empty() {
            Some(format!(
                "Files attached to this PDF were not read: {names}{more}. Save them and upload them separately."
            ))
        } else if self.is_xfa {
            Some(
                "This PDF has an XFA form. Values that were filled in may be missing; print the form to a new PDF to include them."
                    .to_owned(),
            )
        } else {
            None
        }
    }
}

/// Kinds of pages with a warning, the most frequent first.
const WARNED: [PageKind; 5] = [
    PageKind::Image,
    PageKind::UnreadableFont,
    PageKind::Garbled,
    PageKind::Damaged,
    PageKind::Missing,
];

/// Formats ranges, such as `3, 5–8, 11`. Long lists are truncated.
fn list(ranges: &[(u32, u32)]) -> String {
    let mut parts: Vec<String> = ranges
        .iter()
        .take(MAX_RANGES_SHOWN)
        .map(|&(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}–{last}")
            }
        })
        .collect();
    if ranges.len() > MAX_RANGES_SHOWN {
        parts.push("…".into());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pages: &[(u32, PageKind)]) -> PageReport {
        let mut report = PageReport::default();
        for &(number, kind) in pages {
            report.push(number, kind);
            report.page_count = number;
        }
        report
    }

    #[test]
    fn the_warnings_name_the_pages_of_each_kind() {
        let report = report(&[
            (1, PageKind::Text),
            (2, PageKind::Image),
            (3, PageKind::Image),
            (4, PageKind::Damaged),
            (5, PageKind::UnreadableFont),
            (6, PageKind::Image),
            (7, PageKind::Missing),
        ]);
        let warnings = report.warnings();
        assert_eq!(warnings.len(), 4);
        assert!(
            warnings
                .iter()
                .any(|text| text.starts_with("Pages 2–3, 6 are images"))
        );
        assert!(warnings.contains(&"Page 4 is damaged and could not be read.".to_owned()));
        assert!(
            warnings
                .iter()
                .any(|text| text.starts_with("The text on page 5 uses a font without"))
        );
        assert_eq!(report.unread(), [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_report_with_pages_or_texts_that_cannot_be_is_invalid() {
        let valid = || PageReport {
            attachments: vec!["terms.pdf".to_owned()],
            labels: vec![(1, "i".to_owned()), (3, "1".to_owned())],
            ..report(&[
                (1, PageKind::Text),
                (2, PageKind::Image),
                (3, PageKind::Text),
            ])
        };
        assert!(valid().is_valid(3));
        assert!(!valid().is_valid(2), "too many pages");
        let with_ranges = |ranges: &[(u32, u32)]| PageReport {
            ranges: ranges
                .iter()
                .map(|&(first, last)| PageRange {
                    first,
                    last,
                    kind: PageKind::Image,
                })
                .collect(),
            ..valid()
        };
        let with_label = |page, label: &str| PageReport {
            labels: vec![(page, label.to_owned())],
            ..valid()
        };
        let with_attachments = |names: Vec<String>| PageReport {
            attachments: names,
            ..valid()
        };
        for (what, report) in [
            ("overlapping ranges", with_ranges(&[(1, 2), (2, 3)])),
            ("a reversed range", with_ranges(&[(3, 1)])),
            ("page 0", with_ranges(&[(0, 0)])),
            ("a page after the last", with_ranges(&[(2, u32::MAX)])),
            ("a label of no page", with_label(4, "a")),
            (
                "a long label",
                with_label(1, &"a".repeat(MAX_LABEL_CHARACTERS + 1)),
            ),
            ("a NUL in a label", with_label(1, "\0")),
            (
                "a NUL in a name",
                with_attachments(vec!["a\0.pdf".to_owned()]),
            ),
            (
                "many attachments",
                with_attachments(vec![String::new(); MAX_ATTACHMENTS + 1]),
            ),
        ] {
            assert!(!report.is_valid(3), "{what}");
        }
    }

    #[test]
    fn the_summary_says_what_the_pages_are() {
        let images = report(&[
            (1, PageKind::Text),
            (2, PageKind::Image),
            (3, PageKind::Image),
        ]);
        assert_eq!(
            images.summary().as_deref(),
            Some("2 of 3 pages are images.")
        );
        assert_eq!(
            report(&[(1, PageKind::Text), (2, PageKind::Empty)]).summary(),
            None
        );
    }

    #[test]
    fn long_lists_are_truncated() {
        let many: Vec<(u32, PageKind)> = (1..40)
            .map(|number| {
                let kind = if number % 2 == 0 {
                    PageKind::Damaged
                } else {
                    PageKind::Text
                };
                (number, kind)
            })
            .collect();
        assert!(
            report(&many)
                .warnings()
                .iter()
                .any(|text| text.contains(", … are"))
        );
    }
}
