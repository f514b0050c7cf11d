//! Form fields whose values are not drawn in the file. Some programs that fill in forms leave
//! drawing the values to the viewer.

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object, Rect};
use hayro_interpret::hayro_syntax::page::Page;
use hayro_interpret::kurbo::{Affine, Point};

use crate::layout::{Glyph, PageBuilder};

/// Maximum depth of parents from which a field inherits its type and value.
const MAX_PARENTS: usize = 16;
/// Flag of a hidden annotation.
const HIDDEN: u32 = 1 << 1;
/// Flag of a password field.
const PASSWORD: u32 = 1 << 13;
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

/// Adds the values of text fields and lists that are not visible on the page.
pub(super) fn add_undrawn_values(page: &Page<'_>, builder: &mut PageBuilder) {
    let Some(annotations) = page.raw().get::<Array<'_>>(b"Annots") else {
        return;
    };
    let transform = Affine::new(page.initial_transform(true).as_coeffs());
    for annotation in annotations.iter::<Dict<'_>>() {
        let Some((value, area)) = field(&annotation) else {
            continue;
        };
        let (a, b) = (
            transform * Point::new(area.x0, area.y0),
            transform * Point::new(area.x1, area.y1),
        );
        let (left, right) = (a.x.min(b.x), a.x.max(b.x));
        let (top, bottom) = (a.y.min(b.y), a.y.max(b.y));
        if !builder.shows_text_in(left..right, top..bottom) {
            write(&value, left, top, bottom - top, builder);
        }
    }
}

/// Returns the value and the rectangle of a visible field.
fn field(annotation: &Dict<'_>) -> Option<(String, Rect)> {
    let widget = annotation.get::<Name<'_>>(b"Subtype")?.as_ref() == b"Widget";
    let hidden = annotation.get::<u32>(b"F").unwrap_or(0) & HIDDEN != 0;
    let flags = inherited(annotation, |dict| dict.get::<u32>(b"Ff")).unwrap_or(0);
    let kind = inherited(annotation, |dict| dict.get::<Name<'_>>(b"FT"))?;
    let written = matches!(kind.as_ref(), b"Tx" | b"Ch");
    if !widget || hidden || !written || flags & PASSWORD != 0 {
        return None;
    }
    let value = match inherited(annotation, |dict| dict.get::<Object<'_>>(b"V"))? {
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
    };
    Some((value, annotation.get::<Rect>(b"Rect")?))
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
fn decode(bytes: &[u8]) -> String {
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
