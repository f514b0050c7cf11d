//! A copy of a file in which fonts can be repaired: without encryption, and with every font as an
//! object of its own.

use ::pdf_extract::{Dictionary, Object, ObjectId};

use super::pdf_extract::open;

/// Maximum depth of nested objects.
const MAX_DEPTH: usize = 32;

/// Returns the copy, or `None` if the file cannot be opened without a password.
pub(super) fn of(file: &[u8]) -> Option<Vec<u8>> {
    let mut document = open(file).ok()?;
    let mut fonts = Fonts {
        next_id: document.max_id.checked_add(1)?,
        found: Vec::new(),
    };
    for object in document.objects.values_mut() {
        fonts.take_from(object, 0);
    }
    document.max_id = fonts.next_id.saturating_sub(1);
    document.objects.extend(
        fonts
            .found
            .into_iter()
            .map(|(id, font)| (id, Object::Dictionary(font))),
    );
    let mut copy = Vec::new();
    document.save_to(&mut copy).ok()?;
    Some(copy)
}

/// The fonts that were defined within other objects.
struct Fonts {
    next_id: u32,
    found: Vec<(ObjectId, Dictionary)>,
}

impl Fonts {
    /// Replaces fonts within the object by references.
    fn take_from(&mut self, object: &mut Object, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let dictionary = match object {
            Object::Dictionary(dictionary) => dictionary,
            Object::Stream(stream) => &mut stream.dict,
            Object::Array(items) => {
                for item in items {
                    self.take_from(item, depth + 1);
                }
                return;
            }
            _ => return,
        };
        for (_, value) in dictionary.iter_mut() {
            match value {
                Object::Dictionary(font) if is_font(font) => {
                    let id = (self.next_id, 0);
                    self.next_id += 1;
                    self.found.push((id, std::mem::take(font)));
                    *value = Object::Reference(id);
                }
                _ => self.take_from(value, depth + 1),
            }
        }
    }
}

fn is_font(dictionary: &Dictionary) -> bool {
    let subtype = dictionary.get(b"Subtype").and_then(Object::as_name);
    matches!(
        subtype,
        Ok(b"Type0" | b"Type1" | b"MMType1" | b"TrueType" | b"Type3")
    ) && (dictionary.has(b"BaseFont") || dictionary.has(b"CharProcs"))
}
