//! Finds Markdown code, in which `[1]` is not a citation.

/// A run of this many backticks at the start of a line opens a block.
const FENCE_BACKTICKS: usize = 3;
/// Maximum length of code within a line. Longer code is text.
const MAX_SPAN_BYTES: usize = 2_000;

/// The position in the text shown so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Position {
    /// The number of backticks that opened the block of code.
    fence: Option<usize>,
    /// The last character of the line that is not a space.
    last: Option<char>,
}

impl Position {
    pub(super) fn is_in_block(self) -> bool {
        self.fence.is_some()
    }

    /// The last character of the line that is not a space.
    pub(super) fn last(self) -> Option<char> {
        self.last
    }

    pub(super) fn advance(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\n' => self.last = None,
                character if character.is_whitespace() => {}
                character => self.last = Some(character),
            }
        }
    }

    /// Number of bytes of the run of backticks at the start of the text, with the code that it
    /// encloses within a line. `None` if more text is needed.
    pub(super) fn backticks(&mut self, text: &str, is_end: bool) -> Option<usize> {
        let run = run(text);
        if run == text.len() && !is_end {
            return None;
        }
        let at_start = self.last.is_none();
        match self.fence {
            Some(opened) => {
                if at_start && run >= opened {
                    self.fence = None;
                }
                Some(run)
            }
            None if at_start && run >= FENCE_BACKTICKS => {
                self.fence = Some(run);
                Some(run)
            }
            None => match span(text, run, is_end) {
                Span::Code(length) => Some(length),
                Span::Text => Some(run),
                Span::Incomplete => is_end.then_some(run),
            },
        }
    }
}

fn run(text: &str) -> usize {
    text.bytes().take_while(|byte| *byte == b'`').count()
}

enum Span {
    Code(usize),
    Text,
    Incomplete,
}

/// The code that starts with a run of backticks and ends with the next run of the same length in
/// its paragraph.
fn span(text: &str, opened: usize, is_end: bool) -> Span {
    let mut at = opened;
    let mut line_is_empty = false;
    while let Some(next) = text[at..].chars().next() {
        if at > MAX_SPAN_BYTES {
            return Span::Text;
        }
        match next {
            '`' => {
                let run = run(&text[at..]);
                at += run;
                line_is_empty = false;
                // At the end of the text, the run may continue.
                if run == opened && (at < text.len() || is_end) {
                    return Span::Code(at);
                }
            }
            '\n' if line_is_empty => return Span::Text,
            '\n' => {
                line_is_empty = true;
                at += 1;
            }
            next => {
                line_is_empty &= next.is_whitespace();
                at += next.len_utf8();
            }
        }
    }
    Span::Incomplete
}
