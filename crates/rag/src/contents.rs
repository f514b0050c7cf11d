//! Recognizes tables of contents and indexes: lists of entries with page numbers. They mention every
//! topic and explain none, so they are not quoted.

/// Minimum number of entries. A page may start with the end of a list.
const MIN_ENTRIES: usize = 3;
/// Minimum share of entries among the lines, as a divisor: half of them. Long entries continue on a
/// second line.
const MIN_ENTRY_SHARE: usize = 2;
/// Minimum share of entries in order. One in this many may be out of order, such as the first page
/// of the text after pages with Roman numerals.
const OUT_OF_ORDER_SHARE: usize = 5;
/// More than one dot in this many visible characters: dot leaders. Prose has far fewer.
const DOT_LEADER_SHARE: usize = 4;
/// Maximum number of digits of a page number, and of letters of a Roman numeral.
const MAX_PAGE_DIGITS: usize = 5;

/// Whether the text is part of a table of contents or of an index.
pub(crate) fn is_contents(text: &str) -> bool {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let entries: Vec<Entry> = lines.iter().copied().filter_map(Entry::parse).collect();
    if entries.len() < MIN_ENTRIES || entries.len() * MIN_ENTRY_SHARE < lines.len() {
        return false;
    }
    let in_order = |ordered: &dyn Fn(&Entry, &Entry) -> bool| {
        let pairs = entries.len() - 1;
        let kept = entries
            .windows(2)
            .filter(|pair| matches!(pair, [first, second] if ordered(first, second)))
            .count();
        (pairs - kept) * OUT_OF_ORDER_SHARE <= pairs
    };
    let pages_ascend = in_order(&|first, second| first.page <= second.page);
    // The entries of an index are in alphabetical order, and some have several pages. So a table of
    // names with quantities is not an index.
    let is_index = entries.iter().any(|entry| entry.has_several_pages)
        && in_order(&|first, second| first.initial <= second.initial);
    (pages_ascend && entries.iter().any(|entry| entry.page > entries[0].page)) || is_index
}

/// Whether much of the text is dots between entries and their page numbers.
pub(crate) fn has_dot_leaders(text: &str) -> bool {
    let visible = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .count();
    let dots = text
        .chars()
        .filter(|character| matches!(character, '.' | '\u{2024}' | '\u{b7}' | '\u{2026}'))
        .count();
    dots * DOT_LEADER_SHARE > visible
}

/// A line such as `5.4 Native routines` with a page number, separated by a tab where there was a
/// dot leader, or `BLAS library 47, 71`.
struct Entry {
    initial: Option<char>,
    page: u32,
    has_several_pages: bool,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut pages = Vec::new();
        while let Some((before, last)) = rest.rsplit_once(char::is_whitespace) {
            let Some(numbers) = page_numbers(last) else {
                break;
            };
            // All but the last are followed by a comma.
            if !pages.is_empty() && !last.ends_with(',') {
                break;
            }
            pages.splice(0..0, numbers);
            rest = before.trim_end();
        }
        let page = *pages.first()?;
        let name = rest;
        // More cells are the columns of a table.
        if name.contains('\t') || !name.chars().any(char::is_alphabetic) {
            return None;
        }
        Some(Self {
            initial: name
                .chars()
                .find(|character| character.is_alphanumeric())
                .and_then(|initial| initial.to_lowercase().next()),
            page,
            has_several_pages: pages.len() > 1,
        })
    }
}

/// The page numbers of a word such as `47,`, `47`, `47-49` or `iv`.
fn page_numbers(word: &str) -> Option<Vec<u32>> {
    word.trim_end_matches(',')
        .split(['-', '\u{2013}'])
        .map(page_number)
        .collect()
}

fn page_number(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > MAX_PAGE_DIGITS {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    // The pages before the first one. Their order among each other does not matter.
    text.chars()
        .all(|digit| matches!(digit, 'i' | 'v' | 'x' | 'l'))
        .then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_entries_with_page_numbers_are_contents() {
        for text in [
            "5.4 Registering native routines\t137\n5.5 Fortran I/O\t151\n5.6 Interfacing C++ code\t152",
            "Preface\tiv\n1 Introduction\t1\n1.1 Purpose of this manual, which has a\nlong name\t2\n2 Installation\t9",
            "C\nconfigure\t3, 4, 7, 56\nI\ninstall.packages\t25\nM\nmake\t58",
            "Concept index\nBLAS library 47, 71\nByte order 12\nCompilers 3-5, 9",
            "7.32 How can I capture or ignore errors?\t38\n7.33 Why are powers of negative numbers wrong?\t38\n7.36 Why are there borders?\t39",
        ] {
            assert!(is_contents(text), "{text}");
        }
    }

    #[test]
    fn dots_up_to_the_page_number_are_dot_leaders() {
        assert!(has_dot_leaders(
            "5.4 Registering native routines . . . . . . . . . . . . . 137\n5.5 Fortran I/O ...................... 151"
        ));
        assert!(!has_dot_leaders("See sections 5.4 and 5.5, e.g. on p. 7."));
    }

    #[test]
    fn prose_and_tables_are_not_contents() {
        for text in [
            "See sections 5.4 and 5.5. Native routines are registered with R_registerRoutines, e.g. in R_init_mypkg.",
            "Item\tQuantity\tPrice\nBolt\t12\t4\nNut\t12\t5\nWasher\t24\t6",
            "Code\tMeaning\tRetries\nE270\tOverheating\t1\nE271\tNo flow\t2\nE272\tLeak\t3",
            "Apples\t7\nBananas\t3\nCherries\t12\nDates\t5",
            "04 Jan Grocery store 12\n09 Jan Fuel 45\n11 Jan Rent 900\n12 Jan Coffee 3",
            "The budget of 2024\nThe budget of 2025",
            "1. Open the valve\n2. Wait for 10\n3. Close it\n4. Count to 3",
            "",
        ] {
            assert!(!is_contents(text), "{text}");
        }
    }
}
