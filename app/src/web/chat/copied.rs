//! An answer as text for the clipboard: its Markdown, and the sources that it cites.

use std::fmt::Write as _;

use crate::ask::{Author, Citation, Message};
use crate::web::shared::pages::format;

/// The answer's Markdown, with or without its citations and sources.
pub(super) fn text(answer: &Message, with_citations: bool) -> String {
    let cited = answer.citations.iter().filter(|citation| citation.cited);
    if answer.author == Author::Excerpts {
        let excerpts: Vec<String> = cited
            .map(|citation| excerpt(citation, with_citations))
            .collect();
        return excerpts.join("\n\n");
    }
    if !with_citations {
        return rag::without_citations(&answer.text);
    }
    let mut text = answer.text.trim().to_owned();
    for (index, citation) in cited.enumerate() {
        text.push_str(if index == 0 { "\n\nSources:\n" } else { "\n" });
        // Writing to a string cannot fail.
        let _ = write!(text, "[{}] {}", citation.number, source(citation));
    }
    text
}

fn excerpt(citation: &Citation, with_source: bool) -> String {
    let quote = citation.quote.replace('\n', "\n> ");
    if with_source {
        format!("> {quote}\n\n{}", source(citation))
    } else {
        format!("> {quote}")
    }
}

fn source(citation: &Citation) -> String {
    let pages = format::pages(citation.page_from, citation.page_to);
    format!("{}, {pages}", citation.title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::MessageState;
    use crate::ids::{DocumentId, MessageId, ThreadId};

    fn answer(author: Author, text: &str) -> Message {
        let citation = |number, cited| Citation {
            number,
            document: DocumentId::random(),
            title: "Lease".to_owned(),
            page: 3,
            page_from: 3,
            page_to: 2 + number,
            cited,
            quote: "The rent\nis due.".to_owned(),
            document_removed: false,
        };
        Message {
            id: MessageId::random(),
            thread: ThreadId::random(),
            ordinal: 1,
            author,
            state: MessageState::Complete,
            text: text.to_owned(),
            citations: vec![citation(1, true), citation(2, true), citation(3, false)],
            created_by: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_answer_is_copied_with_or_without_its_sources() {
        let answer = answer(
            Author::Model("m".into()),
            "It is **due** [1], see `a[1]` [2]. ",
        );
        assert_eq!(
            text(&answer, true),
            "It is **due** [1], see `a[1]` [2].\n\nSources:\n[1] Lease, page 3\n[2] Lease, pages 3\u{2013}4"
        );
        assert_eq!(text(&answer, false), "It is **due**, see `a[1]`.");
    }

    #[test]
    fn excerpts_are_copied_as_quotes() {
        let answer = answer(Author::Excerpts, "");
        assert_eq!(
            text(&answer, true),
            "> The rent\n> is due.\n\nLease, page 3\n\n> The rent\n> is due.\n\nLease, pages 3\u{2013}4"
        );
        assert_eq!(
            text(&answer, false),
            "> The rent\n> is due.\n\n> The rent\n> is due."
        );
    }
}
