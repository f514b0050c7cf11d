//! Builds PDF files for tests: valid ones and ones with specific errors.

use std::fmt::Write as _;

/// Builder of a PDF file with numbered objects and a cross-reference table.
#[derive(Default)]
pub(crate) struct Pdf {
    objects: Vec<Vec<u8>>,
}

/// Object number. It displays as a reference to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(usize);

impl std::fmt::Display for Id {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} 0 R", self.0)
    }
}

impl Pdf {
    /// Returns the number of the next object, for objects that refer to themselves.
    pub(crate) fn next(&self) -> Id {
        Id(self.objects.len() + 1)
    }

    pub(crate) fn object(&mut self, body: impl AsRef<[u8]>) -> Id {
        self.objects.push(body.as_ref().to_vec());
        Id(self.objects.len())
    }

    /// Adds a stream. `entries` are added to its dictionary besides `Length`.
    pub(crate) fn stream(&mut self, entries: &str, content: &[u8]) -> Id {
        let mut body = format!("<< {entries} /Length {} >>\nstream\n", content.len()).into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\nendstream");
        self.object(body)
    }

    /// Adds Helvetica, which needs no font file.
    pub(crate) fn helvetica(&mut self) -> Id {
        self.object(
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        )
    }

    /// Adds a page whose font is `/F`. `entries` are added to its dictionary and take precedence.
    pub(crate) fn page(&mut self, content: &str, resources: &str, entries: &str) -> Id {
        let font = self.helvetica();
        let content = self.stream("", content.as_bytes());
        let media = if entries.contains("/MediaBox") {
            ""
        } else {
            "/MediaBox [0 0 600 800]"
        };
        self.object(format!(
            "<< /Type /Page {media} /Contents {content} /Resources << /Font << /F {font} >> {resources} >> {entries} >>"
        ))
    }

    /// Returns a file with these pages.
    pub(crate) fn finish(self, pages: &[Id]) -> Vec<u8> {
        self.finish_with(pages, "")
    }

    /// Returns a file with these pages and additional entries in its catalog.
    pub(crate) fn finish_with(mut self, pages: &[Id], catalog: &str) -> Vec<u8> {
        let mut kids = String::new();
        for page in pages {
            let _ = write!(kids, "{page} ");
        }
        let tree = self.object(format!(
            "<< /Type /Pages /Count {} /Kids [{kids}] >>",
            pages.len()
        ));
        let root = self.object(format!("<< /Type /Catalog /Pages {tree} {catalog} >>"));
        self.bytes(root, "")
    }

    /// Returns a file with this catalog and additional entries in its trailer.
    pub(crate) fn bytes(self, root: Id, trailer: &str) -> Vec<u8> {
        let mut bytes = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
        let mut table = String::from("0000000000 65535 f \n");
        for (index, object) in self.objects.iter().enumerate() {
            let _ = writeln!(table, "{:010} 00000 n ", bytes.len());
            bytes.extend_from_slice(format!("{} 0 obj\n", index + 1).as_bytes());
            bytes.extend_from_slice(object);
            bytes.extend_from_slice(b"\nendobj\n");
        }
        let start = bytes.len();
        let count = self.objects.len() + 1;
        bytes.extend_from_slice(
            format!(
                "xref\n0 {count}\n{table}trailer\n<< /Size {count} /Root {root} {trailer} >>\nstartxref\n{start}\n%%EOF\n"
            )
            .as_bytes(),
        );
        bytes
    }
}

/// Returns content that draws a line of text at a position (from the lower left) in a font size.
pub(crate) fn line(x: f64, y: f64, size: f64, text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('(', "\\(")
        .replace(')', "\\)");
    format!("BT /F {size} Tf {x} {y} Td ({text}) Tj ET\n")
}

/// Returns a file with one line of text on each page.
pub(crate) fn document(pages: &[&str]) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let pages: Vec<Id> = pages
        .iter()
        .map(|text| pdf.page(&line(72.0, 700.0, 12.0, text), "", ""))
        .collect();
    pdf.finish(&pages)
}
