//! Rows to what pages show.

use crate::documents::{Document, Hit, State, Step};
use crate::pages::documents as pages;

pub(super) fn document(row: &Document) -> pages::DocumentView {
    pages::DocumentView {
        id: row.id,
        title: row.title.clone(),
        file_name: row.file_name.clone(),
        byte_count: row.byte_count,
        page_count: row.page_count,
        chunk_count: row.chunk_count,
        added_at: row.created_at,
        added_by: row.uploaded_by_name.clone(),
        has_file: row.state.has_file(),
        state: state(&row.state),
    }
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
