//! Rows to what pages show.

use pdf_text::Extraction;

use crate::documents::{Document, Hit, State, Step};
use super::pages as pages;

pub(super) fn document(row: &Document) -> pages::DocumentView {
    pages::DocumentView {
        id: row.id,
        title: row.title.clone(),
        file_name: row.file_name.clone(),
        byte_count: row.byte_count,
        page_count: row.page_count,
        chunk_count: row.chunk_count,
        unreadable: unreadable(row),
        added_at: row.created_at,
        added_by: row.uploaded_by_name.clone(),
        has_file: row.state.has_file(),
        state: state(&row.state),
    }
}

/// What a person should know about a document that was read in part.
fn unreadable(row: &Document) -> Option<pages::UnreadablePages> {
    let read = Extraction {
        unreadable: row.unreadable_pages.clone(),
        page_count: row.page_count?,
        ..Extraction::default()
    };
    read.warning().map(|which| pages::UnreadablePages {
        count: u32::try_from(read.unreadable.len()).unwrap_or(u32::MAX),
        of: read.page_count,
        which,
    })
}

fn state(state: &State) -> pages::DocumentState {
    match state {
        State::Uploading => pages::DocumentState::Uploading,
        State::Queued => pages::DocumentState::Queued,
        State::Working {
            step,
            percent,
            trouble,
        } => pages::DocumentState::Working {
            step: match step {
                Step::Fetch => pages::ReadingStep::Fetch,
                Step::Extract => pages::ReadingStep::Extract,
                Step::Chunk => pages::ReadingStep::Chunk,
                Step::Embed => pages::ReadingStep::Embed,
                Step::Store => pages::ReadingStep::Store,
            },
            percent: *percent,
            trouble: trouble.map(|(trouble, retry_at)| pages::Trouble {
                words: trouble.words().to_owned(),
                retry_at,
            }),
        },
        State::Ready => pages::DocumentState::Ready,
        State::Failed(failure) => pages::DocumentState::Failed {
            reason: failure.reason(),
            what_to_do: failure.what_to_do().to_owned(),
            retry: failure.is_worth_a_retry(),
        },
        State::Removing => pages::DocumentState::Removing,
    }
}

pub(super) fn hit(hit: Hit) -> pages::Hit {
    pages::Hit {
        document: hit.document,
        title: hit.title,
        page_from: hit.page_from,
        page_to: hit.page_to,
        snippet: hit
            .snippet
            .into_iter()
            .map(|piece| pages::Piece {
                text: piece.text,
                hit: piece.is_found,
            })
            .collect(),
    }
}
