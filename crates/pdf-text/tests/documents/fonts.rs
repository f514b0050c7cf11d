//! Fonts whose maps do not say what a person sees.

use pdf_text::Limits;

use crate::pdf::Pdf;
use crate::{extract, texts};

#[tokio::test]
async fn capitals_are_read_as_they_are_shown() {
    let map = "1 begincodespacerange <00> <FF> endcodespacerange\n\
         4 beginbfchar <48> <0068> <68> <0068> <49> <0069> <75> <0075> endbfchar";
    for (name, expected) in [("ABCDEF+Serif", "Hu I"), ("ABCDEF+Serif-SC", "hu i")] {
        let mut pdf = Pdf::default();
        let map = pdf.stream("", map.as_bytes());
        let font = pdf.object(format!(
            "<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding /ToUnicode {map} >>"
        ));
        let page = pdf.page(
            "BT /G 12 Tf 72 700 Td (Hu) Tj 20 0 Td (I) Tj ET",
            "",
            &format!("/Resources << /Font << /G {font} >> >>"),
        );
        let extraction = extract(Limits::default(), &pdf.finish(&[page]))
            .await
            .expect("the document can be read");
        assert_eq!(texts(&extraction), [expected], "{name}");
    }
}
