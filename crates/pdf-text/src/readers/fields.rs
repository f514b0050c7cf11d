//! Fields of forms whose values the file does not draw: whoever filled them in left it to the reader to show them.

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object, Rect};
use hayro_interpret::hayro_syntax::page::Page;
use hayro_interpret::kurbo::{Affine, Point};

use crate::layout::{Glyph, Sheet};

/// A field inherits its kind and value from its parents; forms nest some levels deep.
const PARENTS_MAX: usize = 16;
/// An annotation that nobody is to see.
const HIDDEN: u32 = 1 << 1;
/// A field that holds a password.
const PASSWORD: u32 = 1 << 13;
/// The size of type that a value is drawn in, in points, where its field is high enough.
const EM: f64 = 10.0;
/// How much of a field's height a line of it may take.
const EM_SHARE: f64 = 0.8;
/// Letters are about so wide, in ems.
const ADVANCE_EM: f64 = 0.5;
/// Room between baselines, in ems.
const LEADING_EM: f64 = 1.2;
/// A longer value is no entry of a form, in characters.
const VALUE_CHARACTERS_MAX: usize = 10_000;

/// Writes the values of text fields and lists where the sheet shows nothing.
pub(super) fn write_undrawn(page: &Page<'_>, sheet: &mut Sheet) {
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
        if !sheet.shows_text_in(left..right, top..bottom) {
            write(&value, left, top, bottom - top, sheet);
        }
    }
}

/// The value of a field that can be seen, and where it stands.
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

/// What the dictionary or the nearest of its parents says.
fn inherited<'a, T>(dict: &Dict<'a>, get: impl Fn(&Dict<'a>) -> Option<T>) -> Option<T> {
    let mut dict = dict.clone();
    for _ in 0..PARENTS_MAX {
        if let Some(found) = get(&dict) {
            return Some(found);
        }
        dict = dict.get::<Dict<'a>>(b"Parent")?;
    }
    None
}

/// A text string: UTF-16 or UTF-8 if it is marked so, else one byte a character.
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

/// Sets the value as lines, from the upper left corner of its field.
fn write(value: &str, left: f64, top: f64, height: f64, sheet: &mut Sheet) {
    let em = EM.min(height * EM_SHARE);
    let (mut x, mut y) = (left, top + em);
    for character in value.chars().take(VALUE_CHARACTERS_MAX) {
        if matches!(character, '\r' | '\n') {
            (x, y) = (left, y + LEADING_EM * em);
            continue;
        }
        sheet.push(&Glyph {
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
