//! Recognizes citation markers in the forms that models write: `[1]`, `[1, 2]`, `[2-4]`, `[^1]`,
//! `[Source 1]`, `【1】`, `【1†source】`, `\[1\]`, `(Source 1)` and `(1)`.

/// Maximum number of characters between the brackets. Longer text is not a marker.
const MAX_MARKER_CHARS: usize = 60;
/// Maximum number of spaces before a marker that are removed together with it.
const MAX_SPACES: usize = 8;
/// Maximum length of a range such as `[2-4]`. A longer range is text.
const MAX_RANGE_LENGTH: u32 = 16;
/// What models write before the number of a passage, in lower case.
const LABELS: [&str; 14] = [
    "source",
    "sources",
    "passage",
    "passages",
    "reference",
    "references",
    "ref",
    "citation",
    "quelle",
    "quellen",
    "fuente",
    "fonte",
    "bron",
    "no",
];
/// What models write between two markers.
const CONJUNCTIONS: [&str; 4] = ["and", "und", "et", "y"];

/// What precedes the scanned text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// The text directly follows another marker.
    pub(super) follows_marker: bool,
    /// The last character of the line that is not a space.
    pub(super) previous: Option<char>,
    /// Numbers in parentheses up to this one may be markers.
    pub(super) max_round: u32,
    /// No more text will follow.
    pub(super) is_end: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan<'text> {
    /// More text is needed to decide.
    Incomplete,
    /// The text does not start with a marker.
    Text,
    Marker {
        /// Length of the marker with `lead`, in bytes.
        length: usize,
        /// The spaces and separators before the marker.
        lead: &'text str,
        numbers: Vec<u32>,
        /// Whether the brackets are square.
        is_square: bool,
    },
}

/// Whether a marker, or the spaces before one, can start with this character.
pub(super) fn can_start(character: char) -> bool {
    matches!(
        character,
        ' ' | '\t' | '[' | '\u{3010}' | '\u{ff3b}' | '(' | '*' | '_' | '\\'
    )
}

/// Whether the separator of two markers can start with this character.
pub(super) fn can_separate(character: char) -> bool {
    character.is_ascii_alphabetic() || matches!(character, ',' | ';' | '&')
}

/// Scans for a marker at the start of the text. Parentheses or emphasis that contain nothing else
/// are part of it.
pub(super) fn scan(text: &str, context: Context) -> Scan<'_> {
    match group(text, context) {
        Ok((length, lead, numbers, is_square)) => Scan::Marker {
            length,
            lead,
            numbers,
            is_square,
        },
        Err(Stop::Incomplete) if !context.is_end => Scan::Incomplete,
        Err(_) => Scan::Text,
    }
}

enum Stop {
    Incomplete,
    Text,
}

type Group<'text> = (usize, &'text str, Vec<u32>, bool);

fn group(text: &str, context: Context) -> Result<Group<'_>, Stop> {
    let mut at = spaces(text)?;
    if context.follows_marker {
        at += separator(&text[at..])?;
    }
    let lead = &text[..at];
    let context = Context {
        max_round: if lead.is_empty() {
            0
        } else {
            context.max_round
        },
        ..context
    };
    let (open, close) = wrapper(&text[at..])?;
    if open.is_empty() {
        let (length, numbers, is_square) = marker(&text[at..], context)?;
        return Ok((at + length, lead, numbers, is_square));
    }
    at += open.len();
    let inside = Context {
        max_round: 0,
        ..context
    };
    let mut all = Vec::new();
    loop {
        let (length, numbers, _) = marker(&text[at..], inside)?;
        at += length;
        all.extend(numbers);
        match expect(&text[at..], close) {
            Ok(()) => return Ok((at + close.len(), lead, all, true)),
            Err(Stop::Incomplete) => return Err(Stop::Incomplete),
            Err(Stop::Text) => {}
        }
        at += spaces(&text[at..])?;
        at += separator(&text[at..])?;
    }
}

/// Number of bytes of spaces at the start.
fn spaces(text: &str) -> Result<usize, Stop> {
    let count = text
        .bytes()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    match count {
        _ if count > MAX_SPACES => Err(Stop::Text),
        _ if count == text.len() => Err(Stop::Incomplete),
        _ => Ok(count),
    }
}

/// Number of bytes of a comma, semicolon, ampersand or conjunction at the start, with the spaces
/// after it.
fn separator(text: &str) -> Result<usize, Stop> {
    let length = if text.starts_with([',', ';', '&']) {
        1
    } else {
        let word = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        if word == text.len() && CONJUNCTIONS.iter().any(|it| it.starts_with(text)) {
            return Err(Stop::Incomplete);
        }
        if !CONJUNCTIONS.contains(&&text[..word]) {
            return Ok(0);
        }
        word
    };
    Ok(length + spaces(&text[length..])?)
}

/// The opening and closing wrapper around a bracket, or empty strings.
fn wrapper(text: &str) -> Result<(&'static str, &'static str), Stop> {
    for (open, close) in [
        ("**", "**"),
        ("__", "__"),
        ("*", "*"),
        ("_", "_"),
        ("(", ")"),
    ] {
        if let Some(rest) = text.strip_prefix(open) {
            return match rest.chars().next() {
                None => Err(Stop::Incomplete),
                Some('[' | '\u{3010}' | '\u{ff3b}') => Ok((open, close)),
                // Not a wrapper, but perhaps a marker in parentheses.
                Some(_) if open == "(" => Ok(("", "")),
                Some(_) => Err(Stop::Text),
            };
        }
    }
    Ok(("", ""))
}

fn expect(text: &str, expected: &str) -> Result<(), Stop> {
    if text.starts_with(expected) {
        Ok(())
    } else if expected.starts_with(text) {
        Err(Stop::Incomplete)
    } else {
        Err(Stop::Text)
    }
}

/// The length, the numbers, and whether the brackets are square.
fn marker(text: &str, context: Context) -> Result<(usize, Vec<u32>, bool), Stop> {
    let unescaped = text.strip_prefix('\\').unwrap_or(text);
    let open = unescaped.chars().next().ok_or(Stop::Incomplete)?;
    let close = match open {
        '[' => ']',
        '\u{3010}' => '\u{3011}',
        '\u{ff3b}' => '\u{ff3d}',
        '(' => ')',
        _ => return Err(Stop::Text),
    };
    let start = text.len() - unescaped.len() + open.len_utf8();
    let inner = &text[start..];
    let mut end = None;
    for (count, (at, character)) in inner.char_indices().enumerate() {
        if character == close {
            end = Some(at);
            break;
        }
        if count == MAX_MARKER_CHARS || !can_be_inside(character) {
            return Err(Stop::Text);
        }
    }
    let end = end.ok_or(Stop::Incomplete)?;
    let length = start + end + close.len_utf8();
    let inner = inner[..end].trim_end_matches('\\');
    let (numbers, is_labelled) = numbers(inner).ok_or(Stop::Text)?;
    let is_square = open != '(';
    if !is_square && !is_labelled {
        round(&numbers, &text[length..], context)?;
    }
    Ok((length, numbers, is_square))
}

fn can_be_inside(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(
            character,
            ' ' | ',' | ';' | '-' | '\u{2013}' | '^' | '#' | ':' | '.' | '\u{2020}' | '\\'
        )
}

/// Whether a number in parentheses is a citation: after a space, at the end of a statement, and not
/// part of a number such as `§ 5 (2)`. Otherwise it may be the number of a list or of a section.
fn round(numbers: &[u32], after: &str, context: Context) -> Result<(), Stop> {
    let are_given = numbers
        .iter()
        .all(|number| (1..=context.max_round).contains(number));
    let is_after_statement = context
        .previous
        .is_some_and(|previous| !previous.is_numeric() && !matches!(previous, '\u{a7}' | ':'));
    if !are_given || !is_after_statement {
        return Err(Stop::Text);
    }
    match after.chars().next() {
        None if context.is_end => Ok(()),
        None => Err(Stop::Incomplete),
        Some('.' | ',' | ';' | '!' | '?' | '\n' | '|' | '\u{3002}') => Ok(()),
        Some(_) => Err(Stop::Text),
    }
}

/// The numbers of a marker such as `1`, `1, 2`, `2-4` or `Source 1`, and whether it has a label.
/// `None` if it is not a marker.
fn numbers(inner: &str) -> Option<(Vec<u32>, bool)> {
    if let Some((position, _)) = inner.split_once('\u{2020}') {
        // `1†source`. In `4:0†source`, the numbers are not those of passages.
        return Some((vec![number(position).unwrap_or(u32::MAX)], true));
    }
    let mut numbers = Vec::new();
    let mut is_labelled = false;
    for part in inner.split([',', ';']) {
        let (part, has_label) = without_label(part);
        is_labelled |= has_label;
        if let Some((from, to)) = part.split_once(['-', '\u{2013}']) {
            let (from, to) = (number(from)?, number(to)?);
            if from > to || to - from >= MAX_RANGE_LENGTH {
                return None;
            }
            numbers.extend(from..=to);
        } else {
            numbers.push(number(part)?);
        }
    }
    Some((numbers, is_labelled))
}

/// The part without a label such as `Source`, `Ref.` or `^`, and whether it had a word.
fn without_label(part: &str) -> (&str, bool) {
    let part = part.trim();
    let word = part
        .find(|character: char| !character.is_alphabetic())
        .unwrap_or(part.len());
    let label = part[..word].to_lowercase();
    let is_labelled = LABELS.contains(&label.as_str());
    let rest = if is_labelled { &part[word..] } else { part };
    (
        rest.trim_start_matches([' ', '.', ':', '#', '^', '\u{ba}']),
        is_labelled,
    )
}

/// Parses a number. A number that overflows is the number of no passage.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = text.trim();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().unwrap_or(u32::MAX))
}
