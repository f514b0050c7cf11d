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
/// Flag of a push button.
const PUSH_BUTTON: u32 = 1 << 16;
/// How a ticked and an empty box or radio button are read.
const TICKED: &str = "[x]";
const NOT_TICKED: &str = "[ ]";
/// Font size of values, in points, if the field is high enough.
const EM: f64 = 10.0;
/// Maximum share of a field's height that a line uses.
const EM_SHARE: f64 = 0.8;
/// Approximate width of a letter, in ems.
const ADVANCE_EM: f64 = 0.5;
/// Distance between baselines, in ems.
const LEADING_EM: f64 = 1.2;
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
            write(&value, left, top, bottom - top, builder);
        }
    }
}

/// A visible field with a value.
struct Field {
    value: String,
    area: Rect,
    /// Whether it is a box or a radio button.
    is_button: bool,
}

fn field(annotation: &Dict<'_>) -> Option<Field> {
    let widget = annotation.get::<Name<'_>>(b"Subtype")?.as_ref() == b"Widget";
    let hidden = annotation.get::<u32>(b"F").unwrap_or(0) & HIDDEN != 0;
    let flags = inherited(annotation, |dict| dict.get::<u32>(b"Ff")).unwrap_or(0);
    let kind = inherited(annotation, |dict| dict.get::<Name<'_>>(b"FT"))?;
    if !widget || hidden {
        return None;
    }
    let value = match kind.as_ref() {
        b"Tx" if flags & PASSWORD == 0 => text_value(annotation)?,
        b"Ch" => choice(annotation, text_value(annotation)?),
        b"Btn" if flags & PUSH_BUTTON == 0 => {
            let state = annotation
                .get::<Name<'_>>(b"AS")
                .or_else(|| inherited(annotation, |dict| dict.get::<Name<'_>>(b"V")));
            let ticked = state.is_some_and(|state| state.as_ref() != b"Off");
            if ticked { TICKED } else { NOT_TICKED }.to_owned()
        }
        _ => return None,
    };
    Some(Field {
        value,
        area: annotation.get::<Rect>(b"Rect")?,
        is_button: kind.as_ref() == b"Btn",
    })
}

fn text_value(annotation: &Dict<'_>) -> Option<String> {
    Some(
        match inherited(annotation, |dict| dict.get::<Object<'_>>(b"V"))? {
            Object::String(value) => decode(value.as_bytes()),
            Object::Array(values) => values
                .iter::<Object<'_>>()
                .filter_map(|value| match value {
                    Object::String(value) => Some(decode(value.as_bytes())),
                    _ => None,
                })
                .collect::<Vec<_>>()
                .join("\n"),
            _ => return None,
        },
    )
}

/// Returns the text that a list shows for a value, which may be a code.
fn choice(annotation: &Dict<'_>, value: String) -> String {
    let options = inherited(annotation, |dict| dict.get::<Array<'_>>(b"Opt"));
    options
        .iter()
        .flat_map(Array::iter::<Array<'_>>)
        .find_map(|option| {
            let mut texts = option
                .iter::<PdfString<'_>>()
                .map(|text| decode(text.as_bytes()));
            (texts.next()? == value).then(|| texts.next())?
        })
        .unwrap_or(value)
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

/// Writes the value line by line, starting at the top left of its field.
fn write(value: &str, left: f64, top: f64, height: f64, builder: &mut PageBuilder) {
    let em = EM.min(height * EM_SHARE);
    let (mut x, mut y) = (left, top + em);
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
