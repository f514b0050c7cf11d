//! Repairs fonts whose character codes cannot be mapped to text: appends an incremental update to
//! the file that gives them a `ToUnicode` map. The first reader then reads the file as usual.
//!
//! This covers maps that the reader rejects because of a single entry, East Asian character
//! collections of embedded fonts, maps that are only a name, fonts whose glyphs are named after their
//! codes, such as TeX's bitmap fonts, `TrueType` fonts without an encoding whose glyphs have names, and
//! maps that give capitals as small letters.
//! Only fonts that are objects of their own are repaired, and no encrypted files, because the update
//! would have to be encrypted: `plain_copy` makes a copy that can be repaired.

mod code_names;
mod letter_case;
mod to_unicode;

use std::collections::HashMap;
use std::fmt::Write as _;

use hayro_interpret::hayro_cmap::{self, BfString, CMap, CidFamily};
use hayro_interpret::hayro_syntax::Pdf;
use hayro_interpret::hayro_syntax::object::{
    Array, Dict, MaybeRef, Name, Object, ObjectIdentifier, Stream, String,
};
use hayro_interpret::hayro_syntax::page::Page;

use code_names::Encoding;
use to_unicode::Mapping;

use super::font_program;

const TO_UNICODE: &[u8] = b"ToUnicode";
/// Flag of a font with the letters of Latin script.
const NON_SYMBOLIC: u32 = 1 << 5;
/// Maximum number of fonts that are repaired in a file.
const MAX_FONTS: usize = 256;
/// Number of character codes of the largest collection.
const MAX_CID: u32 = 31_000;

/// Finds pages with fonts in which the reader may silently read wrong text. Remembers the fonts.
#[derive(Default)]
pub(super) struct Misreadings(HashMap<ObjectIdentifier, bool>);

impl Misreadings {
    /// Whether a font of the page has a map that the reader rejects, or no encoding.
    pub(super) fn may_be_on(&mut self, page: &Page<'_>) -> bool {
        let fonts = &page.resources().fonts;
        fonts.keys().any(|name| {
            let read = || {
                fonts
                    .get::<Dict<'_>>(name.as_ref())
                    .is_some_and(|font| may_be_misread(&font))
            };
            match fonts.get_ref(name.as_ref()) {
                Some(font) => *self.0.entry(font.into()).or_insert_with(read),
                None => read(),
            }
        })
    }
}

fn may_be_misread(font: &Dict<'_>) -> bool {
    match font.get::<Stream<'_>>(TO_UNICODE) {
        Some(map) => map
            .decoded_data()
            .is_ok_and(|map| is_rejected(&map) || letter_case::mappings(font, &map).is_some()),
        None => has_no_encoding(font),
    }
}

/// Whether the font is an embedded `TrueType` font whose codes have no meaning outside of it.
fn has_no_encoding(font: &Dict<'_>) -> bool {
    font.get::<Name<'_>>(b"Subtype")
        .is_some_and(|subtype| subtype.as_ref() == b"TrueType")
        && !font.contains_key(b"Encoding")
        && font
            .get::<Dict<'_>>(b"FontDescriptor")
            .is_some_and(|descriptor| {
                descriptor.contains_key(b"FontFile2")
                    && descriptor.get::<u32>(b"Flags").unwrap_or(0) & NON_SYMBOLIC == 0
            })
}

/// Whether the file has to be copied before its fonts can be repaired.
pub(super) fn needs_copy(file: &[u8], pdf: &Pdf) -> bool {
    let has_inline_font = |page: &Page<'_>| {
        let fonts = &page.resources().fonts;
        fonts.keys().any(|name| {
            let font = fonts.get_raw::<Dict<'_>>(name.as_ref());
            matches!(font, Some(MaybeRef::NotRef(_)))
        })
    };
    contains(file, b"/Encrypt") || pdf.pages().iter().any(has_inline_font)
}

fn is_rejected(map: &[u8]) -> bool {
    CMap::parse(map, hayro_cmap::load_embedded).is_none() && !to_unicode::parse(map).is_empty()
}

/// Returns the file with an update that repairs its fonts, or `None` if no font needs it.
pub(super) fn repair(file: &[u8], pdf: &Pdf) -> Option<Vec<u8>> {
    let trailer = trailer(file, pdf)?;
    let mut update = Update {
        file: file.to_vec(),
        offsets: Vec::new(),
        next_id: trailer.size,
    };
    let mut fonts = 0;
    for object in pdf.objects() {
        let Object::Dict(font) = object else { continue };
        let Some(id) = font.obj_id() else { continue };
        let Some(mappings) = mappings(&font) else {
            continue;
        };
        let map = update.stream(&to_unicode::write(&mappings));
        update.font(id.obj_number, id.gen_number, font.data(), map);
        fonts += 1;
        if fonts >= MAX_FONTS {
            break;
        }
    }
    (fonts > 0).then(|| update.finish(&trailer))
}

/// Returns a map for a font that needs one.
fn mappings(font: &Dict<'_>) -> Option<Vec<Mapping>> {
    let subtype = font.get::<Name<'_>>(b"Subtype")?;
    let map = font
        .get::<Stream<'_>>(TO_UNICODE)
        .and_then(|map| Some(map.decoded_data().ok()?.into_owned()));
    let mappings = match map {
        Some(map) if is_rejected(&map) => to_unicode::parse(&map),
        Some(map) => letter_case::mappings(font, &map)?,
        None => match subtype.as_ref() {
            b"Type0" => collection(font).or_else(|| named_map(font))?,
            b"Type3" => code_names::mappings(font, Encoding::Tex)?,
            _ if has_no_encoding(font) => names_of_codes(font)?,
            b"Type1" | b"MMType1" | b"TrueType" => code_names::mappings(font, Encoding::Windows)?,
            _ => return None,
        },
    };
    (!mappings.is_empty()).then_some(mappings)
}

/// Returns a map from the names of the glyphs of a `TrueType` font, if they differ from its codes.
fn names_of_codes(font: &Dict<'_>) -> Option<Vec<Mapping>> {
    let program = font
        .get::<Dict<'_>>(b"FontDescriptor")?
        .get::<Stream<'_>>(b"FontFile2")?
        .decoded_data()
        .ok()?;
    let texts = font_program::texts_of_codes(&program);
    let is_code = |(code, text): &(u32, std::string::String)| {
        char::from_u32(*code).is_some_and(|code| text.chars().eq([code]))
    };
    (!texts.iter().all(is_code)).then(|| {
        texts
            .into_iter()
            .map(|(code, text)| Mapping::new(code, text))
            .collect()
    })
}

/// Returns a map from the character collection of a composite font.
fn collection(font: &Dict<'_>) -> Option<Vec<Mapping>> {
    let descendant = font
        .get::<Array<'_>>(b"DescendantFonts")?
        .iter::<Dict<'_>>()
        .next()?;
    let info = descendant.get::<Dict<'_>>(b"CIDSystemInfo")?;
    let family = CidFamily::from_registry_ordering(
        info.get::<String<'_>>(b"Registry")?.as_bytes(),
        info.get::<String<'_>>(b"Ordering")?.as_bytes(),
    );
    let unicode = load(family.ucs2_cmap()?)?;
    let encoding = match font.get::<Object<'_>>(b"Encoding")? {
        Object::Name(name) => match name.as_ref() {
            b"Identity-H" | b"Identity-V" => CMap::identity_h(),
            name => load(hayro_cmap::CMapName::from_bytes(name))?,
        },
        Object::Stream(stream) => {
            CMap::parse(&stream.decoded_data().ok()?, hayro_cmap::load_embedded)?
        }
        _ => return None,
    };
    let cid = |code: u32| (1..=4).find_map(|bytes| encoding.lookup_cid_code(code, bytes));
    Some(
        (0..=u32::from(u16::MAX))
            .filter_map(|code| {
                let cid = cid(code).filter(|cid| (1..=MAX_CID).contains(cid))?;
                Some(Mapping::new(code, text(unicode.lookup_bf_string(cid)?)))
            })
            .collect(),
    )
}

/// Returns the map for a font whose map is the name of an encoding: its codes are characters.
fn named_map(font: &Dict<'_>) -> Option<Vec<Mapping>> {
    let name = font.get::<Name<'_>>(TO_UNICODE)?;
    name.as_ref().starts_with(b"Identity").then(|| {
        (0x20..=u32::from(u16::MAX))
            .filter_map(|code| Some(Mapping::new(code, char::from_u32(code)?.to_string())))
            .collect()
    })
}

fn load(name: hayro_cmap::CMapName<'_>) -> Option<CMap> {
    CMap::parse(hayro_cmap::load_embedded(name)?, hayro_cmap::load_embedded)
}

fn text(unicode: BfString) -> std::string::String {
    match unicode {
        BfString::Char(character) => character.to_string(),
        BfString::String(text) => text,
    }
}

/// What an update repeats of the file's last trailer.
struct Trailer {
    /// Number after the largest object number.
    size: u32,
    root: ObjectIdentifier,
    /// Position of the last cross-reference table.
    previous: Option<u64>,
}

/// Returns the data of the file's trailer. `None` if the file is encrypted.
fn trailer(file: &[u8], pdf: &Pdf) -> Option<Trailer> {
    if contains(file, b"/Encrypt") {
        return None;
    }
    let size = pdf
        .objects()
        .into_iter()
        .filter_map(|object| match object {
            Object::Dict(dict) => dict.obj_id(),
            Object::Stream(stream) => Some(stream.obj_id()),
            _ => None,
        })
        .map(|id| id.obj_number)
        .max()?
        // Other objects, such as numbers, may have larger object numbers.
        .checked_add(u32::try_from(pdf.len()).ok()?)?
        .checked_add(1)?;
    let keyword = b"startxref";
    let previous = file
        .windows(keyword.len())
        .rposition(|window| window == keyword)
        .and_then(|at| file.get(at + keyword.len()..))
        .and_then(|after| {
            let digits: Vec<u8> = after
                .iter()
                .copied()
                .skip_while(u8::is_ascii_whitespace)
                .take_while(u8::is_ascii_digit)
                .collect();
            std::str::from_utf8(&digits).ok()?.parse().ok()
        });
    Some(Trailer {
        size,
        root: pdf.xref().root_id(),
        previous,
    })
}

fn contains(file: &[u8], keyword: &[u8]) -> bool {
    file.windows(keyword.len()).any(|window| window == keyword)
}

/// An incremental update: objects appended to the file, and a cross-reference table for them.
struct Update {
    file: Vec<u8>,
    /// Number, generation and position of each object.
    offsets: Vec<(u32, i32, usize)>,
    next_id: u32,
}

impl Update {
    fn start(&mut self, id: u32, generation: i32) {
        self.file.push(b'\n');
        self.offsets.push((id, generation, self.file.len()));
        self.file
            .extend_from_slice(format!("{id} {generation} obj\n").as_bytes());
    }

    /// Adds a stream. Returns its object number.
    fn stream(&mut self, content: &str) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.start(id, 0);
        let length = content.len();
        self.file.extend_from_slice(
            format!("<< /Length {length} >>\nstream\n{content}\nendstream\nendobj\n").as_bytes(),
        );
        id
    }

    /// Adds a font with another map. Of two entries with the same key, the first counts, so an
    /// existing one is renamed.
    fn font(&mut self, id: u32, generation: i32, dictionary: &[u8], map: u32) {
        self.start(id, generation);
        let entries = dictionary.strip_prefix(b"<<").unwrap_or(dictionary);
        self.file
            .extend_from_slice(format!("<< /ToUnicode {map} 0 R ").as_bytes());
        let key = b"/ToUnicode";
        let mut rest = entries;
        while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
            self.file
                .extend_from_slice(rest.get(..at).unwrap_or_default());
            self.file.extend_from_slice(b"/Replaced");
            rest = rest.get(at + key.len()..).unwrap_or_default();
        }
        self.file.extend_from_slice(rest);
        self.file.extend_from_slice(b"\nendobj\n");
    }

    fn finish(mut self, trailer: &Trailer) -> Vec<u8> {
        let position = self.file.len();
        let mut table = std::string::String::from("xref\n");
        for (id, generation, offset) in &self.offsets {
            // Writing to a string cannot fail.
            let _ = write!(table, "{id} 1\n{offset:010} {generation:05} n \n");
        }
        let _ = write!(
            table,
            "trailer\n<< /Size {} /Root {} {} R",
            self.next_id, trailer.root.obj_number, trailer.root.gen_number
        );
        if let Some(previous) = trailer.previous {
            let _ = write!(table, " /Prev {previous}");
        }
        let _ = write!(table, " >>\nstartxref\n{position}\n%%EOF\n");
        self.file.extend_from_slice(table.as_bytes());
        self.file
    }
}
