//! Builds the words of a line: removes copies, decides where spaces are, and puts the words in
//! reading order.

use super::bidi;
use super::double_strike;
use super::fragment::{Script, TextFragment};
use super::grid::merged;
use super::page_lines::{LineWord, TextLine, WordGap};
use super::raised::{self, Raised};
use super::rows::{Cell, Row};
use super::runs::{SCRIPT_SIZE, TextRun};

/// Minimum width of a space that is not drawn, in ems.
const SPACE_GAP_EM: f32 = 0.13;
/// Minimum gap between two table cells, in ems. Justified text has no gaps of this width.
const CELL_GAP_EM: f32 = 2.0;
/// Minimum number of fragments of a line with letter spacing, most of which are single letters.
const MIN_SPACED_LETTERS: usize = 6;
/// Maximum gap of letter spacing, in ems.
const MAX_SPACED_GAP_EM: f32 = 0.22;

pub(super) struct LineBuilder<'page> {
    /// Text of the page, to which changed words are appended.
    pub(super) text: &'page mut String,
    /// Start of each glyph: its offset in the text and its position.
    pub(super) glyph_starts: &'page [(u32, f32)],
    pub(super) angle: u16,
    /// Width and height of the page.
    pub(super) size: (f32, f32),
    /// Whether most of the page is read from right to left.
    pub(super) reads_right_to_left: bool,
}

impl LineBuilder<'_> {
    /// Builds a line, without words outside the page. `None` if there are no others.
    pub(super) fn build(&mut self, row: Row) -> Option<TextLine> {
        let mut words: Vec<LineWord> = Vec::new();
        let mut is_row = row.has_cells;
        let lines = if row.has_cells {
            cell_lines(row.cells, row.columns, self.reads_right_to_left)
        } else {
            let runs = row.cells.into_iter().flat_map(|cell| cell.lines).collect();
            merged(runs)
                .map(|run| CellLine {
                    gap: WordGap::Space,
                    empty_cells: 0,
                    run,
                })
                .into_iter()
                .collect()
        };
        for line in lines {
            let first = words.len();
            is_row |= self.add_words(line.run, &row.breaks, &mut words);
            if let Some(word) = words.get_mut(first) {
                word.gap = line.gap;
                word.empty_cells = line.empty_cells;
            }
        }
        (!words.is_empty()).then_some(TextLine {
            words,
            column: row.column,
            angle: self.angle,
            from: row.from,
            to: row.to,
            baseline: row.baseline,
            last_baseline: row.last_baseline,
            em: row.em,
            is_row: is_row || row.table.is_some(),
            table: row.table,
            is_header: row.is_header,
        })
    }

    /// Adds the words of a run. Returns whether there is a gap as wide as between cells.
    fn add_words(&mut self, run: TextRun, breaks: &[f32], words: &mut Vec<LineWord>) -> bool {
        let mut fragments = run.fragments;
        fragments.sort_by(|a, b| a.from.total_cmp(&b.from));
        double_strike::remove(&mut fragments, self.text, self.glyph_starts);
        let gaps = gaps(&fragments, breaks, self.text);
        let has_cells = gaps.contains(&WordGap::Cell);
        if fragments
            .iter()
            .any(|fragment| fragment.script == Script::RightToLeft)
        {
            self.add_bidirectional(&fragments, &gaps, words);
            return has_cells;
        }
        let mut before: Option<usize> = None;
        for (at, fragment) in fragments.iter().enumerate() {
            let Some(bounds) = fragment.bounds_on_page(self.size.0, self.size.1) else {
                continue;
            };
            // The gap to the next fragment is stored with the left one.
            let gap = match before {
                Some(before) if before + 1 == at => {
                    gaps.get(before).copied().unwrap_or(WordGap::Space)
                }
                _ => WordGap::Space,
            };
            let base = before.and_then(|before| fragments.get(before));
            let (text, gap) = match base
                .filter(|base| gap == WordGap::None && is_raised(base, fragment, run.em))
            {
                Some(base) => self.raised(base, fragment),
                None => (fragment.text.clone(), gap),
            };
            words.push(LineWord {
                text,
                gap,
                empty_cells: 0,
                length: fragment.to - fragment.from,
                bounds,
            });
            before = Some(at);
        }
        has_cells
    }

    /// Returns the text of a raised figure and its separation from the word `base`.
    fn raised(
        &mut self,
        base: &TextFragment,
        fragment: &TextFragment,
    ) -> (std::ops::Range<u32>, WordGap) {
        let as_drawn = fragment.text.clone();
        let (base, figure) = (
            self.content(base).to_owned(),
            self.content(fragment).to_owned(),
        );
        match raised::read(&base, &figure) {
            Raised::Ending => (as_drawn, WordGap::None),
            Raised::Note => (as_drawn, WordGap::Space),
            Raised::Power => (
                self.append(&format!("^{figure}")).unwrap_or(as_drawn),
                WordGap::None,
            ),
        }
    }

    fn content(&self, fragment: &TextFragment) -> &str {
        self.text
            .get(fragment.text.start as usize..fragment.text.end as usize)
            .unwrap_or_default()
    }

    fn append(&mut self, word: &str) -> Option<std::ops::Range<u32>> {
        let start = u32::try_from(self.text.len()).ok()?;
        let end = start.checked_add(u32::try_from(word.len()).ok()?)?;
        self.text.push_str(word);
        Some(start..end)
    }

    /// Adds the words of a line with right-to-left text in logical order.
    fn add_bidirectional(
        &mut self,
        fragments: &[TextFragment],
        gaps: &[WordGap],
        words: &mut Vec<LineWord>,
    ) {
        let pieces = bidi::logical_order(fragments, self.text, gaps, self.reads_right_to_left);
        for piece in pieces {
            let Some(fragment) = fragments.get(piece.fragment) else {
                continue;
            };
            let content = self.content(fragment).len();
            let part = part_of(fragment, &piece.text, content);
            let Some(bounds) = part.bounds_on_page(self.size.0, self.size.1) else {
                continue;
            };
            let text = piece
                .mirrored
                .and_then(|mirrored| self.append(mirrored.encode_utf8(&mut [0; 4])))
                .unwrap_or(part.text.clone());
            words.push(LineWord {
                text,
                gap: piece.gap,
                empty_cells: 0,
                length: part.to - part.from,
                bounds,
            });
        }
    }
}

/// Returns a part of a fragment. Its letters are assumed to have the same width.
fn part_of(fragment: &TextFragment, range: &std::ops::Range<usize>, len: usize) -> TextFragment {
    let position = |at: usize| {
        let at = f32::from(u16::try_from(at).unwrap_or(u16::MAX));
        let len = f32::from(u16::try_from(len.max(1)).unwrap_or(u16::MAX));
        fragment.from + (fragment.to - fragment.from) * (at / len)
    };
    let offset = |at: usize| fragment.text.start + u32::try_from(at).unwrap_or(0);
    TextFragment {
        text: offset(range.start)..offset(range.end),
        from: position(range.start),
        to: position(range.end),
        ..fragment.clone()
    }
}

/// Whether a fragment is smaller than its line and above the baseline of the word before it.
fn is_raised(base: &TextFragment, fragment: &TextFragment, line_em: f32) -> bool {
    let rise = base.baseline - fragment.baseline;
    fragment.em <= SCRIPT_SIZE * base.em
        && base.em > SCRIPT_SIZE * line_em
        && (raised::MIN_RISE_EM * base.em..=raised::MAX_RISE_EM * base.em).contains(&rise)
}

/// A line of a cell.
struct CellLine {
    /// What separates it from the previous line.
    gap: WordGap,
    /// Number of empty cells before it.
    empty_cells: u8,
    run: TextRun,
}

/// Returns the lines of all cells of a row.
fn cell_lines(mut cells: Vec<Cell>, columns: usize, right_to_left: bool) -> Vec<CellLine> {
    if right_to_left {
        cells.reverse();
    }
    let mut next_column = 0;
    let mut lines = Vec::new();
    for cell in cells {
        let column = match cell.column {
            Some(column) if right_to_left => columns.saturating_sub(column + 1),
            Some(column) => column,
            None => next_column,
        };
        let empty_cells = column.saturating_sub(next_column);
        next_column += empty_cells + 1;
        lines.extend(cell.lines.into_iter().enumerate().map(|(at, run)| {
            let (gap, empty_cells) = match at {
                0 => (WordGap::Cell, u8::try_from(empty_cells).unwrap_or(u8::MAX)),
                _ => (WordGap::CellLine, 0),
            };
            CellLine {
                gap,
                empty_cells,
                run,
            }
        }));
    }
    lines
}

/// Returns what separates each fragment from the next one.
fn gaps(fragments: &[TextFragment], breaks: &[f32], text: &str) -> Vec<WordGap> {
    let space_gap_em = space_gap_em(fragments, text);
    fragments
        .windows(2)
        .map(|pair| match pair {
            [before, fragment] => {
                let em = fragment.em.max(before.em);
                let gap = fragment.from - before.to;
                let is_break = breaks
                    .iter()
                    .any(|at| (before.to..=fragment.from).contains(at));
                let drawn = (fragment.space_before && before.text.end == fragment.text.start)
                    || (before.space_before && fragment.text.end == before.text.start);
                if is_break || gap > CELL_GAP_EM * em {
                    WordGap::Cell
                } else if drawn || gap > space_gap_em * em {
                    WordGap::Space
                } else {
                    WordGap::None
                }
            }
            _ => WordGap::None,
        })
        .collect()
}

/// Returns the minimum gap of a space, in ems. With letter spacing, where each letter is a
/// fragment, the letter spacing is added.
fn space_gap_em(fragments: &[TextFragment], text: &str) -> f32 {
    let letter = |fragment: &TextFragment| {
        let mut text = text
            .get(fragment.text.start as usize..fragment.text.end as usize)
            .unwrap_or_default()
            .chars();
        // East Asian characters do not form words of letters.
        text.next()
            .is_some_and(|first| first.is_alphanumeric() && first < '\u{2e80}')
            && text.next().is_none()
    };
    let letters = fragments.iter().filter(|fragment| letter(fragment)).count();
    if fragments.len() < MIN_SPACED_LETTERS || letters * 4 < fragments.len() * 3 {
        return SPACE_GAP_EM;
    }
    let mut gaps: Vec<f32> = fragments
        .windows(2)
        .filter_map(|pair| match pair {
            [before, fragment] if !fragment.space_before => {
                Some((fragment.from - before.to) / fragment.em.max(before.em))
            }
            _ => None,
        })
        .filter(|gap| (0.0..1.0).contains(gap))
        .collect();
    gaps.sort_by(f32::total_cmp);
    let median_gap = gaps.get(gaps.len() * 2 / 5).copied().unwrap_or(0.0);
    if median_gap <= MAX_SPACED_GAP_EM {
        SPACE_GAP_EM + median_gap
    } else {
        SPACE_GAP_EM // one-letter words
    }
}
