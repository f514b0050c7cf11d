//! Text that is drawn twice, slightly shifted, to appear bold. The pieces of the two copies may
//! differ, so the glyphs are compared.

use super::fragment::{Script, TextFragment};

/// Minimum overlap of two fragments with text that is drawn twice, in ems.
const OVERLAP_EM: f32 = 0.25;
/// Maximum distance of the two copies of a glyph, in ems.
const SHIFT_EM: f32 = 0.15;
/// Maximum distance of the two copies of a whole fragment, such as a shadow, in ems.
const SHADOW_EM: f32 = 0.3;
/// Minimum share of the glyphs of overlapping fragments that are copies, as a divisor. Of text that
/// is drawn twice it is a half; other text that overlaps by chance has some equal letters.
const MIN_COPIES: usize = 3;
/// Maximum gap between the glyphs of a word, in ems.
const WORD_GAP_EM: f32 = 0.13;

#[derive(Clone)]
struct DrawnGlyph {
    text: String,
    from: f32,
    to: f32,
    fragment: TextFragment,
}

/// Removes the second copies from the fragments of a line, which are sorted from left to right. New
/// fragments refer to text that is appended to `text`.
pub(super) fn remove(
    fragments: &mut Vec<TextFragment>,
    text: &mut String,
    glyph_starts: &[(u32, f32)],
) {
    fragments.dedup_by(|fragment, before| {
        (fragment.from - before.from).abs() <= SHADOW_EM * fragment.em
            && (fragment.to - before.to).abs() <= SHADOW_EM * fragment.em
            && content(fragment, text) == content(before, text)
    });
    if !fragments.windows(2).any(overlap) {
        return;
    }
    // Groups of fragments that overlap each other.
    let groups: Vec<Vec<TextFragment>> = fragments
        .chunk_by(|a, b| overlap(&[a.clone(), b.clone()]))
        .map(<[TextFragment]>::to_vec)
        .collect();
    *fragments = groups
        .into_iter()
        .flat_map(|group| match group.len() {
            1 => group,
            _ => without_copies(group, text, glyph_starts),
        })
        .collect();
}

fn overlap(pair: &[TextFragment]) -> bool {
    match pair {
        [before, fragment] => before.to - fragment.from > OVERLAP_EM * fragment.em,
        _ => false,
    }
}

/// Returns overlapping fragments without copies of glyphs, or as they are if they are not copies of
/// each other.
fn without_copies(
    group: Vec<TextFragment>,
    text: &mut String,
    glyph_starts: &[(u32, f32)],
) -> Vec<TextFragment> {
    if group
        .iter()
        .any(|fragment| fragment.script == Script::RightToLeft)
    {
        return group;
    }
    let mut glyphs: Vec<DrawnGlyph> = group
        .iter()
        .flat_map(|fragment| glyphs(fragment, text, glyph_starts))
        .collect();
    glyphs.sort_by(|a, b| a.from.total_cmp(&b.from));
    let count = glyphs.len();
    let mut kept: Vec<DrawnGlyph> = Vec::with_capacity(count);
    for glyph in glyphs {
        let is_copy = kept.iter().rev().take(4).any(|other| {
            (glyph.from - other.from).abs() <= SHIFT_EM * glyph.fragment.em
                && glyph.text == other.text
        });
        if !is_copy {
            kept.push(glyph);
        }
    }
    if (count - kept.len()) * MIN_COPIES >= count {
        joined(kept, text)
    } else {
        group
    }
}

fn content<'text>(fragment: &TextFragment, text: &'text str) -> &'text str {
    text.get(fragment.text.start as usize..fragment.text.end as usize)
        .unwrap_or_default()
}

/// Returns the glyphs of a fragment.
fn glyphs(fragment: &TextFragment, text: &str, starts: &[(u32, f32)]) -> Vec<DrawnGlyph> {
    let first = starts.partition_point(|(at, _)| *at < fragment.text.start);
    let last = starts.partition_point(|(at, _)| *at < fragment.text.end);
    let starts = starts.get(first..last).unwrap_or_default();
    starts
        .iter()
        .enumerate()
        .map(|(index, &(at, from))| {
            let (end, to) = starts
                .get(index + 1)
                .copied()
                .unwrap_or((fragment.text.end, fragment.to));
            DrawnGlyph {
                text: text
                    .get(at as usize..end as usize)
                    .unwrap_or_default()
                    .to_owned(),
                from,
                to,
                fragment: TextFragment {
                    // A space was drawn before the fragment, not before its other glyphs.
                    space_before: fragment.space_before && index == 0,
                    ..fragment.clone()
                },
            }
        })
        .collect()
}

/// Joins adjacent glyphs to fragments.
fn joined(glyphs: Vec<DrawnGlyph>, text: &mut String) -> Vec<TextFragment> {
    let mut fragments: Vec<TextFragment> = Vec::new();
    for glyph in glyphs {
        let Ok(start) = u32::try_from(text.len()) else {
            break;
        };
        text.push_str(&glyph.text);
        let Ok(end) = u32::try_from(text.len()) else {
            break;
        };
        match fragments.last_mut() {
            Some(last)
                if glyph.from - last.to <= WORD_GAP_EM * last.em
                    && !glyph.fragment.space_before =>
            {
                last.text.end = end;
                last.to = last.to.max(glyph.to);
            }
            _ => fragments.push(TextFragment {
                text: start..end,
                from: glyph.from,
                to: glyph.to,
                ..glyph.fragment
            }),
        }
    }
    fragments
}
