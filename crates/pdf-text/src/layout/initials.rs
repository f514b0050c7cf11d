//! Large initials that hang beside the first lines of a paragraph. Each is joined with the rest of its
//! word, which is on the first of these lines; its own baseline is that of the last one.

use super::runs::TextRun;

/// Minimum size of an initial, as a multiple of the size of the text beside it.
const MIN_SIZE_RATIO: f32 = 1.8;
/// Height of an initial above its baseline, in its ems.
const HEIGHT_EM: f32 = 0.85;
/// Minimum and maximum distance of the text from the initial, in ems of the text.
const MIN_GAP_EM: f32 = -0.3;
const MAX_GAP_EM: f32 = 1.2;
/// Minimum distance of the first line from the baseline of the initial, in ems of the text.
const MIN_RISE_EM: f32 = 0.8;
/// Maximum number of initials of a page.
const MAX_INITIALS: usize = 32;

/// Joins the initials of a page with the words that they start.
pub(super) fn join(mut runs: Vec<TextRun>, text: &str) -> Vec<TextRun> {
    let mut ems: Vec<f32> = runs.iter().map(|run| run.em).collect();
    ems.sort_by(f32::total_cmp);
    let Some(&usual_em) = ems.get(ems.len() / 2) else {
        return runs;
    };
    let initials: Vec<usize> = (0..runs.len())
        .filter(|&at| {
            runs.get(at)
                .is_some_and(|run| run.em >= MIN_SIZE_RATIO * usual_em && is_letter(run, text))
        })
        .take(MAX_INITIALS)
        .collect();
    // From the end, so that the indices of the others stay.
    for at in initials.into_iter().rev() {
        let Some(first_line) = first_line(&runs, at) else {
            continue;
        };
        let initial = runs.remove(at);
        let first_line = first_line - usize::from(first_line > at);
        if let (Some(line), Some(mut letter)) = (
            runs.get_mut(first_line),
            initial.fragments.into_iter().next(),
        ) {
            letter.baseline = line.baseline;
            letter.em = line.em;
            letter.to = line.from.max(letter.from);
            line.from = line.from.min(letter.from);
            line.fragments.insert(0, letter);
        }
    }
    runs
}

fn is_letter(run: &TextRun, text: &str) -> bool {
    let [fragment] = run.fragments.as_slice() else {
        return false;
    };
    let mut letters = text
        .get(fragment.text.start as usize..fragment.text.end as usize)
        .unwrap_or_default()
        .chars();
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
}

/// Returns the first of the lines beside an initial, if there are at least two.
fn first_line(runs: &[TextRun], initial: usize) -> Option<usize> {
    let letter = runs.get(initial)?;
    let is_beside = |run: &TextRun| {
        let gap = (run.from - letter.to) / run.em;
        run.em * MIN_SIZE_RATIO <= letter.em
            && (MIN_GAP_EM..=MAX_GAP_EM).contains(&gap)
            && run.baseline > letter.baseline - HEIGHT_EM * letter.em
            && run.baseline < letter.baseline + MIN_RISE_EM * run.em
    };
    let beside = || runs.iter().enumerate().filter(|(_, run)| is_beside(run));
    let (first, line) = beside().min_by(|(_, a), (_, b)| a.baseline.total_cmp(&b.baseline))?;
    let has_next = beside().any(|(_, run)| run.baseline > line.baseline + MIN_RISE_EM * run.em);
    (has_next && letter.baseline > line.baseline + MIN_RISE_EM * line.em).then_some(first)
}
