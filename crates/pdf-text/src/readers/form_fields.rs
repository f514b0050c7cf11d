//! Form fields: values that are not drawn in the file, because some programs that fill in forms
//! leave drawing them to the viewer, and which boxes and buttons are ticked.

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object, Rect, String as PdfString};
use hayro_interpret::hayro_syntax::page::Page;
use hayro_interpret::kurbo::{Affine, Point};

use crate::layout::{Glyph, PageBuilder};

/// Maximum depth of parents from which a field inherits its type and value.
const MAX_PARENTS: usize = 16;
/// Flag of a hidden annotation.
const HIDDEN: u32 = 1 << 1;
/// Flag of a password field.
const PASSWORD: u32 = 1 << 13;
/// Flag of a text field with several lines.
const MULTILINE: u32 = 1 << 12;
/// Flag of a push button.
const PUSH_BUTTON: u32 = 1 << 16;
/// Flag of a list that shows only its value.
const COMBO: u32 = 1 << 17;
/// State of a box or button that is not ticked.
const OFF: &[u8] = b"Off";
/// How a ticked and an empty box or radio button are read.
pub(super) const TICKED: &str = "[x]";
pub(super) const NOT_TICKED: &str = "[ ]";
/// Font size of values, in points, if the field is high enough.
const EM: f64 = 10.0;
/// Maximum share of a field's height that a line uses.
const EM_SHARE: f64 = 0.8;
/// Approximate width of a letter, in ems.
const ADVANCE_EM: f64 = 0.5;
/// Distance between baselines, in ems.
const LEADING_EM: f64 = 1.2;
/// Distance of the baseline from the middle of a field with a single line, in ems.
const BELOW_MIDDLE_EM: f64 = 0.3;
/// Maximum length of a value, in characters.
const MAX_VALUE_CHARACTERS: usize = 10_000;

/// Adds the values of text fields and lists that are not visible on the page, and the state of
/// boxes and radio buttons.
pub(super) fn add_values(page: &Page<'_>, builder: &mut PageBuilder) {
    let Some(annotations) = page.raw().get::<Array<'_>>(b"Annots") else {
        return;
    };
    let transform = Affine::new(page.initial_transform(true).as_coeffs());
    for annotation in annotations.iter::<Dict<'_>>() {
        let Some(Field {
            value,
            area,
            is_button,
            is_line,
        }) = field(&annotation)
        else {
            continue;
        };
        let (a, b) = (
            transform * Point::new(area.x0, area.y0),
            transform * Point::new(area.x1, area.y1),
        );
        let (left, right) = (a.x.min(b.x), a.x.max(b.x));
        let (top, bottom) = (a.y.min(b.y), a.y.max(b.y));
        if is_button {
            builder.remove_marks_in(left..right, top..bottom);
        }
        if is_button || !builder.shows_text_in(left..right, top..bottom) {
            let em = EM.min((bottom - top) * EM_SHARE);
            let baseline = if is_line {
                f64::midpoint(top, bottom) + BELOW_MIDDLE_EM * em
            } else {
                top + em
            };
            write(&value, (left, baseline), em, builder);
        }
    }
}

/// A visible field with a value.
struct Field {
    value: String,
    area: Rect,
    /// Whether it is a box or a radio button.
    is_button: bool,
    /// Whether it has a single line, in the middle of its area.
    is_line: bool,
}

fn field(annotation: &Dict<'_>) -> Option<Field> {
    if annotation.get::<Name<'_>>(b"Subtype")?.as_ref() != b"Widget" {
        return None;
    }
    let hidden = annotation.get::<u32>(b"F").unwrap_or(0) & HIDDEN != 0;
    if hidden {
        return None;
    }
    let flags = inherited(annotation, |dict| dict.get::<u32>(b"Ff")).unwrap_or(0);
    let kind = inherited(annotation, |dict| dict.get::<Name<'_>>(b"FT"))?;
    let value = match kind.as_ref() {
        b"Tx" if flags & PASSWORD == 0 => values(annotation),
        b"Ch" => choices(annotation),
        b"Btn" if flags & PUSH_BUTTON == 0 => {
            let ticked = is_ticked(annotation)?;
            vec![if ticked { TICKED } else { NOT_TICKED }.to_owned()]
        }
        _ => return None,
    };
    let is_line = match kind.as_ref() {
        b"Tx" => flags & MULTILINE == 0,
        b"Ch" => flags & COMBO != 0,
        _ => false,
    };
    (!value.is_empty()).then_some(Field {
        value: value.join("\n"),
        area: annotation.get::<Rect>(b"Rect")?,
        is_button: kind.as_ref() == b"Btn",
        is_line,
    })
}

/// Whether a box or radio button is ticked. `None` if the file does not say.
fn is_ticked(annotation: &Dict<'_>) -> Option<bool> {
    if let Some(state) = annotation.get::<Name<'_>>(b"AS") {
        return Some(state.as_ref() != OFF);
    }
    // The value of a group of radio buttons is the state of the one that is ticked.
    let on = annotation
        .get::<Dict<'_>>(b"AP")
        .and_then(|appearance| appearance.get::<Dict<'_>>(b"N"))
        .and_then(|states| states.keys().find(|state| state.as_ref() != OFF));
    let value = inherited(annotation, |dict| dict.get::<Name<'_>>(b"V"));
    match (on, value) {
        (_, None) => Some(false),
        (Some(on), Some(value)) => Some(value.as_ref() == on.as_ref()),
        (None, Some(value)) if value.as_ref() == OFF => Some(false),
        (None, Some(_)) => annotation.contains_key(b"V").then_some(true),
    }
}

/// Returns the values of a field. A list may have several.
fn values(annotation: &Dict<'_>) -> Vec<String> {
    match inherited(annotation, |dict| dict.get::<Object<'_>>(b"V")) {
        Some(Object::String(value)) => vec![decode(value.as_bytes())],
        Some(Object::Array(values)) => values
            .iter::<PdfString<'_>>()
            .map(|value| decode(value.as_bytes()))
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the texts that a list shows for its values, which may be codes.
fn choices(annotation: &Dict<'_>) -> Vec<String> {
    let options: Vec<(String, String)> =
        inherited(annotation, |dict| dict.get::<Array<'_>>(b"Opt"))
            .iter()
            .flat_map(Array::iter::<Object<'_>>)
            .filter_map(|option| match option {
                Object::String(text) => {
                    let text = decode(text.as_bytes());
                    Some((text.clone(), text))
                }
                Object::Array(pair) => {
                    let mut texts = pair
                        .iter::<PdfString<'_>>()
                        .map(|text| decode(text.as_bytes()));
                    Some((texts.next()?, texts.next()?))
                }
                _ => None,
            })
            .collect();
    let shown = |value: String| {
        options
            .iter()
            .find(|(code, _)| *code == value)
            .map_or(value, |(_, text)| text.clone())
    };
    let values = values(annotation);
    if !values.is_empty() {
        return values.into_iter().map(shown).collect();
    }
    // Some programs write only the indices of the options.
    inherited(annotation, |dict| dict.get::<Array<'_>>(b"I"))
        .iter()
        .flat_map(Array::iter::<u32>)
        .filter_map(|index| options.get(index as usize).map(|(_, text)| text.clone()))
        .collect()
}

/// Returns a value of the dictionary or of its nearest parent that has it.
fn inherited<'a, T>(dict: &Dict<'a>, get: impl Fn(&Dict<'a>) -> Option<T>) -> Option<T> {
    let mut dict = dict.clone();
    for _ in 0..MAX_PARENTS {
        if let Some(found) = get(&dict) {
            return Some(found);
        }
        dict = dict.get::<Dict<'a>>(b"Parent")?;
    }
    None
}

/// Decodes a text string: UTF-16 or UTF-8 if it has a byte order mark, otherwise one byte per
/// character.
pub(super) fn decode(bytes: &[u8]) -> String {
    if let Some(wide) = bytes.strip_prefix(b"\xfe\xff") {
        let units = wide.chunks_exact(2).map(|pair| {
            pair.iter()
                .fold(0, |unit, &byte| unit << 8 | u16::from(byte))
        });
        char::decode_utf16(units)
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else if let Some(text) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        String::from_utf8_lossy(text).into_owned()
    } else {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }
}

/// Writes the value line by line, starting at this position.
pub(super) fn write(value: &str, (left, baseline): (f64, f64), em: f64, builder: &mut PageBuilder) {
    let (mut x, mut y) = (left, baseline);
    for character in value.chars().take(MAX_VALUE_CHARACTERS) {
        if matches!(character, '\r' | '\n') {
            (x, y) = (left, y + LEADING_EM * em);
            continue;
        }
        builder.push(&Glyph {
            text: character.encode_utf8(&mut [0; 4]),
            x,
            y,
            advance_x: ADVANCE_EM * em,
            advance_y: 0.0,
            em,
        });
        x += ADVANCE_EM * em;
    }
}
