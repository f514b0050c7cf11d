//! Words become lines, and lines stand in reading order.
//!
//! Words that follow each other in the file on one baseline are a run. Runs on one baseline make a line, whatever their order
//! in the file, unless a gutter stands between them. Lines are then ordered from top to bottom, column by column, between the
//! lines that run across the columns.

use std::ops::Range;

use super::columns::{Run, gutters};
use super::sheet::{Piece, Place2d, Script, Sheet, turn};

/// A gap wider than this, in ems, ends a run: what follows may be another column or cell.
const RUN_GAP_EM: f32 = 1.2;
/// How far a word may reach back over the one before it in its run, in ems.
const RUN_OVERLAP_EM: f32 = 0.4;
/// Words of one line stand on one baseline, give or take this, in ems.
const BASELINE_EM: f32 = 0.2;
/// A raised or lowered word is smaller than this share of the line's size, stands at most so far off its baseline, and so
/// close to the word before it, in ems of the line.
const SCRIPT_SIZE: f32 = 0.9;
const SCRIPT_SHIFT_EM: f32 = 0.6;
const SCRIPT_GAP_EM: f32 = 0.5;
/// A gap wider than this, in ems, is a space even if none was drawn.
const SPACE_GAP_EM: f32 = 0.13;
/// A gap wider than this, in ems, parts two cells; justified text has none like it.
const CELL_GAP_EM: f32 = 2.0;
/// A line of at least so many pieces, most of them single letters, is spaced out.
const SPACED_LETTERS_MIN: usize = 6;
/// Letters are spaced out by no more than this, in ems.
const SPACED_GAP_EM_MAX: f32 = 0.22;
/// The same word so close to another, in ems, is drawn twice: a shadow.
const TWICE_EM: f32 = 0.3;
/// Lines are compared with so many lines above them to see whether they are one: those of a page's other columns may stand between.
const LINES_BACK: usize = 6;
/// A page with more runs than this is a drawing with labels, not prose: it has no columns.
const RUNS_WITH_COLUMNS_MAX: usize = 4_000;

/// A page of lines in reading order.
#[derive(Debug, Default)]
pub(crate) struct LaidOut {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// The text of all words.
    pub(crate) text: String,
    pub(crate) lines: Vec<Line>,
    /// A picture stands on it.
    pub(crate) has_picture: bool,
}

/// A line of words.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) words: Vec<LineWord>,
    /// Which column of the page it belongs to; lines across columns belong to one of their own.
    pub(crate) column: usize,
    /// Its direction, in degrees clockwise.
    pub(crate) angle: u16,
    /// Where it begins and ends along its direction, and where its baseline is, in points.
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) baseline: f32,
    /// The size of its largest text.
    pub(crate) em: f32,
    /// It is a row of cells, or an entry whose page number stands at the margin: the next line never continues it.
    pub(crate) is_row: bool,
}

/// A word on its line.
#[derive(Debug)]
pub(crate) struct LineWord {
    /// In the page's text.
    pub(crate) text: Range<u32>,
    /// Nothing stands between it and the word before.
    pub(crate) glued: bool,
    /// How long it is along its line, in points.
    pub(crate) length: f32,
    pub(crate) place: Place2d,
}

impl LaidOut {
    pub(crate) fn word(&self, word: &LineWord) -> &str {
        self.text
            .get(word.text.start as usize..word.text.end as usize)
            .unwrap_or_default()
    }
}

/// Words of one direction on one baseline, close together.
struct Cluster {
    pieces: Vec<Piece>,
    from: f32,
    to: f32,
    baseline: f32,
    em: f32,
    column: usize,
}

/// Whether something of size `em` on `baseline` can stand in a line of size `line_em` on `line_baseline`, at this distance.
fn level(line_baseline: f32, line_em: f32, baseline: f32, em: f32, gap: f32) -> bool {
    let (larger, smaller) = (line_em.max(em), line_em.min(em));
    let shift = (line_baseline - baseline).abs();
    shift <= BASELINE_EM * smaller
        || (smaller <= SCRIPT_SIZE * larger
            && shift <= SCRIPT_SHIFT_EM * larger
            && (-RUN_OVERLAP_EM * larger..=SCRIPT_GAP_EM * larger).contains(&gap))
}

impl Cluster {
    fn of(piece: Piece) -> Self {
        Self {
            from: piece.from,
            to: piece.to,
            baseline: piece.baseline,
            em: piece.em,
            pieces: vec![piece],
            column: 0,
        }
    }

    fn takes(&self, piece: &Piece) -> bool {
        let gap = piece.from - self.to;
        let em = self.em.max(piece.em);
        (-RUN_OVERLAP_EM * em..=RUN_GAP_EM * em).contains(&gap)
            && level(self.baseline, self.em, piece.baseline, piece.em, gap)
    }

    /// Takes in what stands on the same line. The larger text says where the baseline is.
    fn join(&mut self, mut other: Self) {
        if other.em > self.em {
            self.baseline = other.baseline;
            self.em = other.em;
        }
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.pieces.append(&mut other.pieces);
    }

    fn is_level_with(&self, other: &Self) -> bool {
        let gap = if other.from >= self.from {
            other.from - self.to
        } else {
            self.from - other.to
        };
        level(self.baseline, self.em, other.baseline, other.em, gap)
    }
}

/// The lines of a page.
pub(super) fn lay_out(sheet: Sheet) -> LaidOut {
    let Sheet {
        width,
        height,
        text,
        words,
        has_picture,
        ..
    } = sheet;
    let mut page = LaidOut {
        width,
        height,
        text,
        lines: Vec::new(),
        has_picture,
    };
    for (angle, pieces) in by_direction(words) {
        let mut runs = runs(pieces);
        let column_count = assign_columns(&mut runs);
        for line in in_order(lines(runs), column_count) {
            page.lines
                .extend(finish(line, angle, (width, height), &page.text));
        }
    }
    page
}

/// The words of each direction; the direction that most of the text has comes first, the others as the file has them.
fn by_direction(words: Vec<Piece>) -> Vec<(u16, Vec<Piece>)> {
    let mut groups: Vec<(u16, Vec<Piece>)> = Vec::new();
    for word in words {
        match groups.iter_mut().find(|(angle, _)| *angle == word.angle) {
            Some((_, group)) => group.push(word),
            None => groups.push((word.angle, vec![word])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

fn runs(pieces: Vec<Piece>) -> Vec<Cluster> {
    let mut runs: Vec<Cluster> = Vec::new();
    for piece in pieces {
        match runs.last_mut() {
            Some(run) if run.takes(&piece) => run.join(Cluster::of(piece)),
            _ => runs.push(Cluster::of(piece)),
        }
    }
    runs
}

/// Gives each run its column; those that cross a gutter get the number behind the last column. Returns the count of columns.
fn assign_columns(runs: &mut [Cluster]) -> usize {
    if runs.len() > RUNS_WITH_COLUMNS_MAX {
        return 1;
    }
    let extents: Vec<Run> = runs
        .iter()
        .map(|run| Run {
            from: run.from,
            to: run.to,
            baseline: run.baseline,
        })
        .collect();
    let gutters = gutters(&extents);
    let count = gutters.len() + 1;
    for run in runs {
        let first = gutters.partition_point(|&gutter| gutter <= run.from);
        let last = gutters.partition_point(|&gutter| gutter < run.to);
        run.column = if first == last { first } else { count };
    }
    count
}

/// Runs on one baseline in one column are a line.
fn lines(mut runs: Vec<Cluster>) -> Vec<Cluster> {
    runs.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    let mut lines: Vec<Cluster> = Vec::with_capacity(runs.len());
    for run in runs {
        let line = lines
            .iter_mut()
            .rev()
            .take(LINES_BACK)
            .find(|line| line.column == run.column && line.is_level_with(&run));
        match line {
            Some(line) => line.join(run),
            None => lines.push(run),
        }
    }
    lines
}

/// From top to bottom; between two lines that run across all columns, column by column.
fn in_order(mut lines: Vec<Cluster>, column_count: usize) -> Vec<Cluster> {
    lines.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    if column_count > 1 {
        let mut band = 0_usize;
        let mut keys = Vec::with_capacity(lines.len());
        for line in &lines {
            keys.push((band, line.column));
            band += usize::from(line.column == column_count);
        }
        let mut keyed: Vec<_> = keys.into_iter().zip(lines).collect();
        keyed.sort_by_key(|(key, _)| *key); // stable: within a column they stay from top to bottom
        lines = keyed.into_iter().map(|(_, line)| line).collect();
    }
    lines
}

/// Words in order, without those drawn twice and those that nobody sees.
fn finish(line: Cluster, angle: u16, size: (f32, f32), text: &str) -> Option<Line> {
    let mut pieces = line.pieces;
    pieces.sort_by(|a, b| a.from.total_cmp(&b.from));
    let of = |piece: &Piece| text.get(piece.text.start as usize..piece.text.end as usize);
    pieces.dedup_by(|piece, before| {
        (piece.from - before.from).abs() <= TWICE_EM * piece.em
            && (piece.to - before.to).abs() <= TWICE_EM * piece.em
            && of(piece) == of(before)
    });
    let space_gap_em = space_gap_em(&pieces, text);
    let is_row = pieces.windows(2).any(|pair| match pair {
        [before, piece] => piece.from - before.to > CELL_GAP_EM * piece.em.max(before.em),
        _ => false,
    });
    let parted: Vec<bool> = pieces
        .windows(2)
        .map(|pair| match pair {
            [before, piece] => {
                let drawn = (piece.space_before && before.text.end == piece.text.start)
                    || (before.space_before && piece.text.end == before.text.start);
                drawn || piece.from - before.to > space_gap_em * piece.em.max(before.em)
            }
            _ => false,
        })
        .collect();
    let mut words: Vec<LineWord> = Vec::with_capacity(pieces.len());
    let mut before: Option<usize> = None;
    for at in order_of_reading(&pieces) {
        let Some(piece) = pieces.get(at) else {
            continue;
        };
        let Some(place) = piece.on_page(size.0, size.1) else {
            continue;
        };
        // The gap between neighbours is the one behind the left of them; what are no neighbours has a gap.
        let glued = before.is_some_and(|before| {
            before.abs_diff(at) == 1 && parted.get(before.min(at)) == Some(&false)
        });
        words.push(LineWord {
            text: piece.text.clone(),
            glued,
            length: piece.to - piece.from,
            place,
        });
        before = Some(at);
    }
    (!words.is_empty()).then_some(Line {
        words,
        column: line.column,
        angle,
        from: line.from,
        to: line.to,
        baseline: line.baseline,
        em: line.em,
        is_row,
    })
}

/// From which gap on, in ems, there is a space. Where letters are spaced out, so that each is a piece of its own, their own gaps
/// come on top of the usual one.
fn space_gap_em(pieces: &[Piece], text: &str) -> f32 {
    let letter = |piece: &Piece| {
        let mut text = text
            .get(piece.text.start as usize..piece.text.end as usize)
            .unwrap_or_default()
            .chars();
        // East Asian characters are no letters of a word.
        text.next()
            .is_some_and(|first| first.is_alphanumeric() && first < '\u{2e80}')
            && text.next().is_none()
    };
    let letters = pieces.iter().filter(|piece| letter(piece)).count();
    if pieces.len() < SPACED_LETTERS_MIN || letters * 4 < pieces.len() * 3 {
        return SPACE_GAP_EM;
    }
    let mut gaps: Vec<f32> = pieces
        .windows(2)
        .filter_map(|pair| match pair {
            [before, piece] if !piece.space_before => {
                Some((piece.from - before.to) / piece.em.max(before.em))
            }
            _ => None,
        })
        .filter(|gap| (0.0..1.0).contains(gap))
        .collect();
    gaps.sort_by(f32::total_cmp);
    let usual = gaps.get(gaps.len() * 2 / 5).copied().unwrap_or(0.0);
    if usual <= SPACED_GAP_EM_MAX {
        SPACE_GAP_EM + usual
    } else {
        SPACE_GAP_EM // words of one letter
    }
}

/// The pieces, which stand from left to right, in the order in which they are read.
fn order_of_reading(pieces: &[Piece]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    let count = |script| pieces.iter().filter(|piece| piece.script == script).count();
    let leftward = count(Script::RightToLeft);
    if leftward == 0 {
        return order;
    }
    // The line is read the way that most of its words are; runs of the other script inside it are read the other way.
    let inner = if leftward > count(Script::LeftToRight) {
        order.reverse();
        Script::LeftToRight
    } else {
        Script::RightToLeft
    };
    let inside = |at: &usize| pieces.get(*at).is_some_and(|piece| piece.script == inner);
    for run in order.chunk_by_mut(|a, b| inside(a) == inside(b)) {
        if run.first().is_some_and(inside) {
            run.reverse();
        }
    }
    order
}

impl Line {
    /// The height of its baseline's middle on the page, in points from the top.
    pub(crate) fn y(&self) -> f32 {
        let (sin, cos) = turn(self.angle);
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let (sin, cos) = (sin as f32, cos as f32);
        f32::midpoint(self.from, self.to) * sin + self.baseline * cos
    }
}
