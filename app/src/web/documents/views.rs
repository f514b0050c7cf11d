//! Converts rows of documents to views.

use pdf_text::PageReport;

use super::pages;
use crate::documents::{Document, DocumentStatus, Hit, IngestError, IngestStep, SystemFailure};

pub(super) fn document(row: &Document) -> pages::DocumentView {
    pages::DocumentView {
        id: row.id,
        title: row.title.clone(),
        file_name: row.file_name.clone(),
        byte_count: row.byte_count,
        page_count: row.page_count,
        chunk_count: row.chunk_count,
        unreadable: row
            .page_summary
            .clone()
            .map(|pages| pages::UnreadablePages {
                summary: pages.summary,
                warnings: pages.warnings,
            }),
        added_at: row.created_at,
        added_by: row.uploaded_by_name.clone(),
        has_file: row.state.has_file(),
        state: state(&row.state),
    }
}

fn state(state: &DocumentStatus) -> pages::DocumentState {
    match state {
        DocumentStatus::Uploading => pages::DocumentState::Uploading,
        DocumentStatus::Queued => pages::DocumentState::Queued,
        DocumentStatus::Working {
            step,
            percent,
            blocked,
        } => pages::DocumentState::Working {
            step: match step {
                IngestStep::Fetch => pages::IngestStage::Fetch,
                IngestStep::Extract => pages::IngestStage::Extract,
                IngestStep::Chunk => pages::IngestStage::Chunk,
                IngestStep::Embed => pages::IngestStage::Embed,
                IngestStep::Store => pages::IngestStage::Store,
            },
            percent: *percent,
            blocked: blocked.map(|(on, retry_at)| pages::Blocked {
                message: on.message().to_owned(),
                retry_at,
            }),
        },
        DocumentStatus::Ready => pages::DocumentState::Ready,
        DocumentStatus::Failed(failure @ IngestError::System(SystemFailure::Cancelled)) => {
            pages::DocumentState::Cancelled {
                message: failure.message(),
                hint: failure.hint().to_owned(),
            }
        }
        DocumentStatus::Failed(failure) => pages::DocumentState::Failed {
            reason: failure.message(),
            hint: failure.hint().to_owned(),
            retry: failure.is_retryable(),
        },
        DocumentStatus::Deleting => pages::DocumentState::Deleting,
    }
}

/// The printed label of a page, if it is not the page's number.
pub(super) fn label(report: Option<&PageReport>, page: u32) -> Option<String> {
    report?.label(page).map(ToOwned::to_owned)
}

pub(super) fn hit(hit: Hit, report: Option<&PageReport>) -> pages::HitView {
    pages::HitView {
        document: hit.document,
        title: hit.title,
        page_from: hit.page_from,
        page_to: hit.page_to,
        printed_from: label(report, hit.page_from),
        printed_to: label(report, hit.page_to),
        snippet: hit
            .snippet
            .into_iter()
            .map(|piece| pages::Piece {
                text: piece.text,
                hit: piece.is_match,
            })
            .collect(),
    }
}
