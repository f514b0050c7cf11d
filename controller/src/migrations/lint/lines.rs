//! Lines of a text by offset.

/// The offsets, in bytes, at which lines start. Lines end with LF, CR or CRLF.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| match bytes[at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let breaks = (0..bytes.len()).filter(|at| ends_line(*at));
        Self(std::iter::once(0).chain(breaks.map(|at| at + 1)).collect())
    }

    /// The line of the byte at this offset, starting at 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_cr_or_crlf() {
        let lines = Lines::of("a\nb\r\nc\rd\n");
        let found: Vec<usize> = (0..9).map(|offset| lines.line(offset)).collect();
        assert_eq!(found, [1, 1, 2, 2, 2, 3, 3, 4, 4]);
        assert_eq!(lines.line(9), 5);
        assert_eq!(Lines::of("").line(0), 1);
    }
}
