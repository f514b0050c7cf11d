//! Document pages.

use app::ids::DocumentId;
use app::web::documents::pages::document::{self, DocumentPage, PassageView};
use app::web::documents::pages::{
    self as documents, Blocked, DatabaseStatus, DocumentState as State, DocumentView,
    DocumentsView, HitView, IngestStage, Piece, SearchView, UnreadablePages, UploadLimits,
};
use app::web::shared::pages::FormContext;
use app::web::shared::pages::{Notice, PageContext};
use maud::Markup;

use super::{HOSTILE, ago, ahead, hostile_inside, inside, now, uuid, workspace};

const LIMITS: UploadLimits = UploadLimits {
    max_file_bytes: 25_000_000,
    max_documents: 20,
};

pub(super) fn pages() -> Vec<(&'static str, Markup)> {
    let id = workspace();
    let form_context = FormContext {
        workspace: &id,
        csrf: "sample-token",
        now: now(),
    };
    let view = DocumentsView {
        documents: every_state(),
        limits: LIMITS,
        database: None,
    };
    let empty = DocumentsView {
        documents: Vec::new(),
        limits: LIMITS,
        database: Some(DatabaseStatus::Stalled),
    };
    let full = DocumentsView {
        documents: every_state().into_iter().take(5).collect(),
        limits: UploadLimits {
            max_documents: 5,
            ..LIMITS
        },
        database: Some(DatabaseStatus::Deleted),
    };
    let mut pages = vec![
        (
            "documents",
            documents::page(&inside(), form_context, &view, None),
        ),
        (
            "documents-empty",
            documents::page(&inside(), form_context, &empty, None),
        ),
        (
            "documents-full",
            documents::page(
                &PageContext {
                    notice: Some(Notice::Reprocessing),
                    ..inside()
                },
                form_context,
                &full,
                None,
            ),
        ),
        (
            "documents-search",
            documents::page(&inside(), form_context, &view, Some(&search())),
        ),
        (
            "documents-search-nothing",
            documents::page(
                &hostile_inside(),
                form_context,
                &view,
                Some(&SearchView {
                    query: HOSTILE.to_owned(),
                    hits: Vec::new(),
                    more: false,
                    error: None,
                }),
            ),
        ),
    ];
    pages.extend(one(form_context));
    pages
}

fn one(form_context: FormContext<'_>) -> Vec<(&'static str, Markup)> {
    let ready = DocumentPage {
        document: document_of(1, "Lease agreement 2026", State::Ready),
        passages: vec![
            PassageView {
                page_from: 1,
                page_to: 1,
                printed_from: Some("i".to_owned()),
                printed_to: Some("i".to_owned()),
                text: "This agreement is made between the landlord and the tenant for the flat on the second floor of Storgata 14, with a storage room in the cellar.".to_owned(),
            },
            PassageView {
                page_from: 6,
                page_to: 7,
                printed_from: Some("2".to_owned()),
                printed_to: Some("3".to_owned()),
                text: "The rent may be adjusted once a year, on 1 April, following the consumer price index. The adjustment is announced in writing at least one month ahead.".to_owned(),
            },
        ],
        more: Some("?from=40".to_owned()),
        database: None,
        error: None,
    };
    let failed = DocumentPage {
        document: document_of(
            2,
            HOSTILE,
            State::Failed {
                reason: "This PDF is password-protected.".to_owned(),
                hint: "Remove the password and upload it again.".to_owned(),
                retry: false,
            },
        ),
        passages: Vec::new(),
        more: None,
        database: None,
        error: Some("Enter a title of 1 to 500 characters.".to_owned()),
    };
    let working = DocumentPage {
        document: document_of(3, "Annual report", working(IngestStage::Embed, 40, None)),
        passages: Vec::new(),
        more: None,
        database: Some(DatabaseStatus::Provisioning),
        error: None,
    };
    vec![
        ("document", document::page(&inside(), form_context, &ready)),
        (
            "document-failed",
            document::page(&inside(), form_context, &failed),
        ),
        (
            "document-working",
            document::page(&inside(), form_context, &working),
        ),
    ]
}

fn working(step: IngestStage, percent: u8, blocked: Option<Blocked>) -> State {
    State::Working {
        step,
        percent,
        blocked,
    }
}

fn document_of(number: u128, title: &str, state: State) -> DocumentView {
    let read = matches!(state, State::Ready | State::Deleting);
    DocumentView {
        id: DocumentId(uuid(100 + number)),
        title: title.to_owned(),
        file_name: format!("{title}.pdf"),
        byte_count: 640_000 * u64::try_from(number).unwrap_or(1),
        page_count: read.then_some(18),
        chunk_count: read.then_some(64),
        unreadable: None,
        added_at: ago(240 * i64::try_from(number * number).unwrap_or(1)),
        added_by: Some("Mira Halvorsen".to_owned()),
        has_file: !matches!(state, State::Uploading | State::Deleting),
        state,
    }
}

fn every_state() -> Vec<DocumentView> {
    let failed = |reason: &str, hint: &str, retry| State::Failed {
        reason: reason.to_owned(),
        hint: hint.to_owned(),
        retry,
    };
    vec![
        document_of(1, "Survey of the roof", State::Uploading),
        document_of(2, "Bank offer", State::Queued),
        document_of(
            3,
            "Annual report of the housing cooperative 2025, with the auditor\u{2019}s notes and all annexes",
            working(IngestStage::Embed, 62, None),
        ),
        document_of(
            4,
            "Energy certificate",
            working(
                IngestStage::Store,
                0,
                Some(Blocked {
                    message: "Your database isn\u{2019}t responding.".to_owned(),
                    retry_at: Some(ahead(8)),
                }),
            ),
        ),
        document_of(5, "Lease agreement 2026", State::Ready),
        DocumentView {
            unreadable: Some(UnreadablePages {
                summary: "2 of 18 pages couldn\u{2019}t be read.".to_owned(),
                warnings: vec!["Pages 3, 7 are damaged and could not be read.".to_owned()],
            }),
            ..document_of(6, "Statutes", State::Ready)
        },
        document_of(
            7,
            "Scan of the old deed",
            failed(
                "This PDF contains no text, only images.",
                "Run text recognition (OCR) on it and upload the result.",
                false,
            ),
        ),
        document_of(
            8,
            "Minutes",
            failed(
                "Processing took too long.",
                "Try again. If that doesn\u{2019}t help, split the file and upload the parts.",
                true,
            ),
        ),
        document_of(9, HOSTILE, State::Ready),
        document_of(10, "Old offer", State::Deleting),
    ]
}

fn search() -> SearchView {
    let piece = |text: &str, hit| Piece {
        text: text.to_owned(),
        hit,
    };
    let hit = |title: &str, page: u32, printed: &str, snippet: Vec<Piece>| HitView {
        document: DocumentId(uuid(105)),
        title: title.to_owned(),
        page_from: page,
        page_to: page,
        printed_from: Some(printed.to_owned()),
        printed_to: Some(printed.to_owned()),
        snippet,
    };
    SearchView {
        query: "rent price index".to_owned(),
        hits: vec![
            hit(
                "Lease agreement 2026",
                6,
                "2",
                vec![
                    piece("The ", false),
                    piece("rent", true),
                    piece(
                        " may be adjusted once a year, on 1 April, following the consumer ",
                        false,
                    ),
                    piece("price index", true),
                    piece(". The adjustment is announced in writing\u{2026}", false),
                ],
            ),
            hit(
                HOSTILE,
                12,
                HOSTILE,
                vec![piece(HOSTILE, false), piece(HOSTILE, true)],
            ),
        ],
        more: true,
        error: None,
    }
}
