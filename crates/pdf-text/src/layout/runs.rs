//! Joins fragments to runs: text that was drawn one after the other on one baseline.

use std::ops::Range;

use super::fragment::TextFragment;

/// Maximum gap within a run, in ems. A wider gap may separate columns or cells.
pub(super) const RUN_GAP_EM: f32 = 1.0;
/// Maximum overlap of a word with the previous word of its run, in ems.
const RUN_OVERLAP_EM: f32 = 0.4;
/// Maximum distance of baselines on the same line, in ems.
const BASELINE_EM: f32 = 0.2;
/// Limits for superscripts and subscripts: their size as a share of the line's size, their distance
/// from the baseline, and their distance from the previous word, the latter two in ems of the line.
pub(super) const SCRIPT_SIZE: f32 = 0.9;
/// Minimum size of a superscript. Text beside a larger initial is not one.
const MIN_SCRIPT_SIZE: f32 = 0.4;
const SCRIPT_SHIFT_EM: f32 = 0.6;
const SCRIPT_GAP_EM: f32 = 0.5;

/// Adjacent words with the same direction and baseline.
#[derive(Debug, Clone)]
pub(super) struct TextRun {
    pub(super) fragments: Vec<TextFragment>,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) baseline: f32,
    pub(super) em: f32,
}

/// Whether text of size `em` on `baseline` can be on a line of size `line_em` with `line_baseline`,
/// at this distance.
fn is_same_line(line_baseline: f32, line_em: f32, baseline: f32, em: f32, gap: f32) -> bool {
    let (larger, smaller) = (line_em.max(em), line_em.min(em));
    let shift = (line_baseline - baseline).abs();
    shift <= BASELINE_EM * smaller
        || ((MIN_SCRIPT_SIZE * larger..=SCRIPT_SIZE * larger).contains(&smaller)
            && shift <= SCRIPT_SHIFT_EM * larger
            && (-RUN_OVERLAP_EM * larger..=SCRIPT_GAP_EM * larger).contains(&gap))
}

impl TextRun {
    fn of(fragment: TextFragment) -> Self {
        Self {
            from: fragment.from,
            to: fragment.to,
            baseline: fragment.baseline,
            em: fragment.em,
            fragments: vec![fragment],
        }
    }

    fn accepts(&self, fragment: &TextFragment) -> bool {
        let gap = fragment.from - self.to;
        let em = self.em.max(fragment.em);
        (-RUN_OVERLAP_EM * em..=RUN_GAP_EM * em).contains(&gap)
            && is_same_line(self.baseline, self.em, fragment.baseline, fragment.em, gap)
    }

    /// Merges text on the same line. The larger text determines the baseline.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.extend_to(other.from..other.to, other.baseline, other.em);
        self.fragments.append(&mut other.fragments);
    }

    fn push(&mut self, fragment: TextFragment) {
        self.extend_to(fragment.from..fragment.to, fragment.baseline, fragment.em);
        self.fragments.push(fragment);
    }

    fn extend_to(&mut self, extent: Range<f32>, baseline: f32, em: f32) {
        if em > self.em {
            self.baseline = baseline;
            self.em = em;
        }
        self.from = self.from.min(extent.start);
        self.to = self.to.max(extent.end);
    }

    pub(super) fn is_on_line_of(&self, other: &Self) -> bool {
        let gap = if other.from >= self.from {
            other.from - self.to
        } else {
            self.from - other.to
        };
        is_same_line(self.baseline, self.em, other.baseline, other.em, gap)
    }

    /// Returns the text of its first fragment from the left.
    pub(super) fn first_text<'text>(&self, text: &'text str) -> &'text str {
        self.fragments
            .iter()
            .min_by(|a, b| a.from.total_cmp(&b.from))
            .and_then(|first| text.get(first.text.start as usize..first.text.end as usize))
            .unwrap_or_default()
    }
}

/// Joins fragments, given in the order of the file, to runs.
pub(super) fn runs(fragments: Vec<TextFragment>) -> Vec<TextRun> {
    let mut runs: Vec<TextRun> = Vec::new();
    for fragment in fragments {
        match runs.last_mut() {
            Some(run) if run.accepts(&fragment) => run.push(fragment),
            _ => runs.push(TextRun::of(fragment)),
        }
    }
    runs
}

/// Number of previous lines with which a run is compared. Lines of other columns may be between
/// them.
const LINES_BACK: usize = 6;

/// Groups runs by line, from top to bottom. The runs of a line are sorted from left to right.
pub(super) fn rows(mut runs: Vec<TextRun>) -> Vec<Vec<TextRun>> {
    runs.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    let mut rows: Vec<Vec<TextRun>> = Vec::with_capacity(runs.len());
    for run in runs {
        let row = rows
            .iter_mut()
            .rev()
            .take(LINES_BACK)
            .find(|row| row.iter().any(|other| other.is_on_line_of(&run)));
        match row {
            Some(row) => row.push(run),
            None => rows.push(vec![run]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.from.total_cmp(&b.from));
    }
    rows.sort_by(|a, b| baseline(a).total_cmp(&baseline(b)));
    rows
}

/// Returns the baseline of a line: that of its largest text.
pub(super) fn baseline(row: &[TextRun]) -> f32 {
    row.iter()
        .max_by(|a, b| a.em.total_cmp(&b.em))
        .map_or(0.0, |run| run.baseline)
}
