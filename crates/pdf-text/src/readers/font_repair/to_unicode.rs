//! Reads `ToUnicode` maps entry by entry, so that an invalid entry does not affect the others, and
//! writes them.

use std::fmt::Write as _;

/// Maximum number of entries. A two-byte code has 65,536 values.
const MAX_ENTRIES: usize = 1 << 16;
/// Entries of a block of a map. The format allows 100.
const BLOCK: usize = 100;

/// A character code and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) code: u32,
    pub(super) text: String,
}

impl Mapping {
    pub(super) fn new(code: u32, text: String) -> Self {
        Self { code, text }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Bytes(Vec<u8>),
    Open,
    Close,
}

/// Returns the entries that can be read.
pub(super) fn parse(map: &[u8]) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for (keyword, end, is_range) in [
        (&b"beginbfchar"[..], &b"endbfchar"[..], false),
        (&b"beginbfrange"[..], &b"endbfrange"[..], true),
    ] {
        let mut rest = map;
        while let Some(at) = find(rest, keyword) {
            rest = rest.get(at + keyword.len()..).unwrap_or_default();
            let length = find(rest, end).unwrap_or(rest.len());
            let tokens = tokens(rest.get(..length).unwrap_or_default());
            if is_range {
                ranges(&tokens, &mut mappings);
            } else {
                characters(&tokens, &mut mappings);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    mappings.truncate(MAX_ENTRIES);
    mappings
}

fn find(bytes: &[u8], keyword: &[u8]) -> Option<usize> {
    bytes
        .windows(keyword.len())
        .position(|window| window == keyword)
}

fn tokens(mut bytes: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            b'<' => {
                let length = rest
                    .iter()
                    .position(|&byte| byte == b'>')
                    .unwrap_or(rest.len());
                tokens.push(Token::Bytes(hexadecimal(
                    rest.get(..length).unwrap_or_default(),
                )));
                bytes = rest.get(length + 1..).unwrap_or_default();
            }
            b'[' => tokens.push(Token::Open),
            b']' => tokens.push(Token::Close),
            b'%' => {
                let length = rest
                    .iter()
                    .position(|byte| matches!(byte, b'\r' | b'\n'))
                    .unwrap_or(rest.len());
                bytes = rest.get(length..).unwrap_or_default();
            }
            _ => {}
        }
    }
    tokens
}

fn hexadecimal(digits: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .iter()
        .filter_map(|&digit| char::from(digit).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => high << 4 | low,
            [high] => high << 4,
            _ => 0,
        })
        .collect()
}

fn characters(tokens: &[Token], mappings: &mut Vec<Mapping>) {
    for pair in tokens.chunks(2) {
        if let [Token::Bytes(code), Token::Bytes(text)] = pair
            && let (Some(code), Some(text)) = (number(code), utf16(text, 0))
        {
            mappings.push(Mapping { code, text });
        }
    }
}

fn ranges(tokens: &[Token], mappings: &mut Vec<Mapping>) {
    let mut tokens = tokens.iter();
    while let (Some(Token::Bytes(first)), Some(Token::Bytes(last)), Some(target)) =
        (tokens.next(), tokens.next(), tokens.next())
    {
        let codes = number(first).zip(number(last));
        let targets: Vec<&Vec<u8>> = match target {
            Token::Bytes(target) => vec![target],
            _ => tokens
                .by_ref()
                .map_while(|token| match token {
                    Token::Bytes(target) => Some(target),
                    _ => None,
                })
                .collect(),
        };
        let Some((first, last)) = codes else { continue };
        for (offset, code) in (0..).zip(first..=last).take(MAX_ENTRIES) {
            let text = match target {
                Token::Bytes(target) => utf16(target, offset),
                _ => targets
                    .get(usize::from(offset))
                    .and_then(|target| utf16(target, 0)),
            };
            if let Some(text) = text {
                mappings.push(Mapping { code, text });
            }
            if mappings.len() > MAX_ENTRIES || offset == u16::MAX {
                return;
            }
        }
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    (1..=4).contains(&bytes.len()).then(|| {
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte))
    })
}

/// Decodes a target and adds `offset` to its last unit.
fn utf16(bytes: &[u8], offset: u16) -> Option<String> {
    let mut units: Vec<u16> = match bytes {
        [] => return None,
        [byte] => vec![u16::from(*byte)],
        _ => bytes
            .chunks_exact(2)
            .map(|pair| {
                pair.iter()
                    .fold(0, |unit, &byte| unit << 8 | u16::from(byte))
            })
            .collect(),
    };
    let last = units.last_mut()?;
    *last = last.checked_add(offset)?;
    String::from_utf16(&units)
        .ok()
        .filter(|text| text.chars().any(|character| character != '\0'))
}

pub(super) fn write(mappings: &[Mapping]) -> String {
    let mut map = String::from(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n\
         /CMapName /Repaired def /CMapType 2 def\n",
    );
    for block in mappings.chunks(BLOCK) {
        // Writing to a string cannot fail.
        let _ = writeln!(map, "{} beginbfchar", block.len());
        for Mapping { code, text } in block {
            let digits = if *code > 0xff { 4 } else { 2 };
            let _ = write!(map, "<{code:0digits$X}> <");
            for unit in text.encode_utf16() {
                let _ = write!(map, "{unit:04X}");
            }
            map.push_str(">\n");
        }
        map.push_str("endbfchar\n");
    }
    map.push_str("endcmap end end\n");
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(map: &str) -> Vec<(u32, String)> {
        parse(map.as_bytes())
            .into_iter()
            .map(|mapping| (mapping.code, mapping.text))
            .collect()
    }

    #[test]
    fn an_entry_that_is_wrong_loses_only_itself() {
        assert_eq!(
            read("3 beginbfchar\n<01> <0041>\n<02> <>\n<03> <0042>\nendbfchar"),
            [(1, "A".to_owned()), (3, "B".to_owned())]
        );
    }

    #[test]
    fn tokens_that_touch_are_separated() {
        assert_eq!(
            read("1 beginbfrange<01><02><0041>endbfrange1 beginbfchar<05><0046>endbfchar"),
            [
                (5, "F".to_owned()),
                (1, "A".to_owned()),
                (2, "B".to_owned())
            ]
        );
    }

    #[test]
    fn ranges_have_one_target_or_a_list() {
        assert_eq!(
            read(
                "2 beginbfrange\n<01> <02> [<0066 0069> <>]\n<0010> <0011> <D835DC00>\nendbfrange"
            ),
            [
                (1, "fi".to_owned()),
                (0x10, "\u{1d400}".to_owned()),
                (0x11, "\u{1d401}".to_owned())
            ]
        );
    }

    #[test]
    fn a_written_map_is_read_again() {
        let mappings = vec![
            Mapping::new(1, "fi".to_owned()),
            Mapping::new(0x1234, "\u{1d400}".to_owned()),
        ];
        assert_eq!(parse(write(&mappings).as_bytes()), mappings);
    }
}
