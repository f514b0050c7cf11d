//! Fragments that handlers stream and swap have to fit the elements of the page they replace.

use app::ids::{DocumentId, MessageId, ThreadId, WorkspaceId};
use app::web::chat::pages::{self as chat, AnswerState, AnswerView, AuthorView};
use app::web::documents::pages::{
    self as documents, DocumentState, DocumentView, DocumentsView, IngestStage, UnreadablePages,
    UploadLimits,
};
use app::web::shared::pages::FormContext;
use app::web::shared::pages::problem::{self, HelpLink, ProblemView};
use app::web::shared::pages::{Notice, PageContext, PersonView, RoleView, Theme, WorkspaceLink};
use app::web::workspaces::pages::provisioning::{
    ProvisioningState, ProvisioningStep, ProvisioningView,
};
use app::web::workspaces::pages::receipt::{self, ReceiptView, Subject};
use jiff::Timestamp;

use crate::elements::{Tag, tags};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn workspace() -> WorkspaceId {
    "abcdefghijkl".parse().unwrap()
}

fn first(html: maud::Markup) -> Tag {
    tags(&html.into_string()).remove(0)
}

fn document(state: DocumentState) -> DocumentView {
    DocumentView {
        id: DocumentId::random(),
        title: "Lease".to_owned(),
        file_name: "lease.pdf".to_owned(),
        byte_count: 1_000,
        page_count: None,
        unreadable: None,
        chunk_count: None,
        added_at: now(),
        added_by: None,
        has_file: true,
        state,
    }
}

#[test]
fn a_row_update_replaces_only_the_row_of_its_document() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "t",
        now: now(),
    };
    let document = document(DocumentState::Queued);
    let row = first(documents::row(form_context, &document));
    let update = first(documents::row_update(form_context, &document));
    assert_eq!(
        row.get("id"),
        Some(format!("document-{}", document.id).as_str())
    );
    assert_eq!(row.get("id"), update.get("id"));
    assert_eq!(row.get("hx-swap-oob"), None);
    assert_eq!(update.get("hx-swap-oob"), Some("true"));
}

#[test]
fn a_list_update_also_updates_the_remaining_document_count() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "t",
        now: now(),
    };
    let view = DocumentsView {
        documents: vec![document(DocumentState::Ready)],
        limits: UploadLimits {
            max_file_bytes: 25_000_000,
            max_documents: 3,
        },
        database: None,
    };
    let update = tags(&documents::list_update(form_context, &view).into_string());
    let room = update
        .iter()
        .find(|tag| tag.get("id") == Some("documents-free"))
        .unwrap();
    assert_eq!(room.get("hx-swap-oob"), Some("true"));
    assert_eq!(room.get("data-free"), Some("2"));
}

#[test]
fn overall_progress_never_runs_backwards() {
    let steps = [
        IngestStage::Fetch,
        IngestStage::Extract,
        IngestStage::Chunk,
        IngestStage::Embed,
        IngestStage::Store,
    ];
    let all: Vec<u32> = steps
        .iter()
        .flat_map(|step| [0, 1, 50, 100, 255].map(|percent| step.overall_percent(percent)))
        .collect();
    assert!(all.is_sorted(), "{all:?}");
    assert_eq!((all.first(), all.last()), (Some(&0), Some(&100)));
}

#[test]
fn the_progress_bar_and_its_label_show_the_same_number() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "t",
        now: now(),
    };
    for (step, percent) in [
        (IngestStage::Fetch, 0),
        (IngestStage::Embed, 0),
        (IngestStage::Embed, 40),
    ] {
        let state = DocumentState::Working {
            step,
            percent,
            blocked: None,
        };
        let tags = tags(&documents::row(form_context, &document(state)).into_string());
        let bar = tags.iter().find(|tag| tag.name == "progress").unwrap();
        let words = tags
            .iter()
            .find(|tag| tag.get("class") == Some("percent"))
            .unwrap();
        let value = bar.get("value").unwrap();
        assert_eq!(words.text_after, format!("{value}%"), "{step:?}");
    }
}

#[test]
fn an_error_page_links_back_into_its_workspace() {
    let view = ProblemView {
        status: 503,
        title: "Your database needs attention".to_owned(),
        hint: "It will continue automatically.".to_owned(),
        code: "database_stalled".to_owned(),
        sign_in: None,
        request_id: None,
        retry_after_seconds: None,
        link: Some(HelpLink {
            path: "/w/abcdefghijkl/provisioning".to_owned(),
            label: "View database status",
        }),
    };
    let context = PageContext {
        user: Some(PersonView {
            name: "Ada".to_owned(),
            email: None,
        }),
        workspace: Some(WorkspaceLink {
            id: workspace(),
            name: "Lab".to_owned(),
            role: RoleView::Owner,
        }),
        ..PageContext::anonymous(Theme::Device, "csrf".to_owned(), now())
    };
    let leads = |html: maud::Markup, to: &str| {
        tags(&html.into_string())
            .iter()
            .any(|tag| tag.name == "a" && tag.get("href") == Some(to))
    };
    assert!(leads(
        problem::page(&context, &view),
        "/w/abcdefghijkl/provisioning"
    ));
    assert!(leads(
        problem::page(&context, &view),
        "/w/abcdefghijkl/documents"
    ));
    assert!(leads(
        problem::fragment(&view),
        "/w/abcdefghijkl/provisioning"
    ));
}

fn answer(state: AnswerState) -> AnswerView {
    AnswerView {
        id: MessageId::random(),
        author: AuthorView::Model {
            name: "m".to_owned(),
        },
        state,
        text: "So it is.".to_owned(),
        citations: Vec::new(),
        unread: Vec::new(),
        stopped_by: None,
        rating: None,
        created_at: now(),
    }
}

#[test]
fn only_a_pending_answer_connects_to_its_stream() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "t",
        now: now(),
    };
    let thread = ThreadId::random();
    let pending = answer(AnswerState::Pending);
    let shown = first(chat::answer(form_context, thread, &pending));
    let stream = format!(
        "/w/{workspace}/chat/{thread}/messages/{}/events",
        pending.id
    );
    assert_eq!(shown.get("sse-connect"), Some(stream.as_str()));
    assert_eq!(shown.get("sse-close"), Some(chat::EVENT_DONE));
    assert_eq!(shown.get("sse-swap"), Some(chat::EVENT_DONE));
    assert_eq!(shown.get("hx-swap"), Some("outerHTML"));
    for state in [
        AnswerState::Complete,
        AnswerState::Stopped,
        AnswerState::NotFound,
        AnswerState::Failed {
            reason: "The connection to the model was lost.".to_owned(),
            hint: "Ask again.".to_owned(),
            can_continue: false,
        },
    ] {
        let ended = AnswerView {
            state,
            ..pending.clone()
        };
        let tags = tags(&chat::answer(form_context, thread, &ended).into_string());
        assert_eq!(tags[0].get("id"), shown.get("id"));
        assert!(tags.iter().all(|tag| tag.get("sse-connect").is_none()));
    }
}

#[test]
fn excerpts_are_not_shown_as_a_models_answer() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "t",
        now: now(),
    };
    let view = AnswerView {
        author: AuthorView::Excerpts,
        ..answer(AnswerState::Complete)
    };
    let tags = tags(&chat::answer(form_context, ThreadId::random(), &view).into_string());
    assert!(
        tags.iter().all(|tag| !tag.text_after.contains(&view.text)),
        "excerpts have no text besides their quotes: {tags:?}"
    );
}

#[test]
fn the_provisioning_page_follows_the_database_until_it_is_ready_or_deleted() {
    for (state, ended) in [
        (
            ProvisioningState::Working {
                step: ProvisioningStep::Database,
            },
            false,
        ),
        (ProvisioningState::Unknown, false),
        (
            ProvisioningState::SchemaOutdated {
                version: None,
                required: 2,
            },
            false,
        ),
        (
            ProvisioningState::Stalled {
                reason: "R".to_owned(),
                tenant: "ws-abcdefghijkl".to_owned(),
                guidance: "N",
            },
            false,
        ),
        (ProvisioningState::Deleted, true),
        (
            ProvisioningState::Ready {
                ready_ms: Some(3_400),
                project_ms: None,
                schema_ms: None,
                region: "eu".to_owned(),
                schema: 2,
            },
            true,
        ),
    ] {
        let view = ProvisioningView {
            workspace: workspace(),
            since: now(),
            now: now(),
            state,
            owner: true,
        };
        assert_eq!(view.ended(), ended, "{view:?}");
    }
}

#[test]
fn the_receipt_page_follows_a_deletion_until_it_is_finished() {
    let view = ReceiptView {
        token: "t0k3n".to_owned(),
        subject: Subject::Account,
        requested_at: now(),
        finished_at: None,
        steps: Vec::new(),
        deleted: Vec::new(),
        databases: Vec::new(),
    };
    let context = PageContext::anonymous(Theme::Device, "csrf".to_owned(), now());
    let open = receipt::page(&context, &view).into_string();
    assert!(open.contains("sse-connect=\"/receipts/t0k3n/events\""));
    assert!(open.contains("sse-close=\"ended\""));
    assert!(
        open.contains("http-equiv=\"refresh\""),
        "browsers without JavaScript reload the page"
    );
    let finished = ReceiptView {
        finished_at: Some(now()),
        ..view
    };
    let finished = receipt::page(&context, &finished).into_string();
    assert!(!finished.contains("sse-connect") && !finished.contains("http-equiv=\"refresh\""));
    assert!(finished.contains("id=\"deletion\"") && open.contains("id=\"deletion\""));
}

#[test]
fn an_error_fragment_is_announced_and_links_to_sign_in() {
    let view = ProblemView {
        status: 401,
        title: "You\u{2019}re not signed in".to_owned(),
        hint: "Sign in to continue where you left off.".to_owned(),
        code: "signed_out".to_owned(),
        sign_in: Some("/sign-in?return_to=/w/abcdefghijkl".to_owned()),
        request_id: None,
        retry_after_seconds: None,
        link: None,
    };
    let tags = tags(&problem::fragment(&view).into_string());
    assert_eq!(tags[0].get("role"), Some("alert"));
    assert!(
        tags.iter()
            .any(|tag| tag.get("href") == view.sign_in.as_deref())
    );
}

#[test]
fn notices_and_themes_round_trip() {
    for key in [
        "renamed",
        "joined",
        "left",
        "session-ended",
        "document-deleted",
    ] {
        assert_eq!(Notice::parse(key).map(Notice::key), Some(key));
    }
    assert_eq!(Notice::parse("<script>"), None);
    assert_eq!(Theme::parse("dark"), Theme::Dark);
    assert_eq!(Theme::parse("device"), Theme::Device);
    assert_eq!(Theme::parse("\"><script>"), Theme::Device);
}

#[test]
fn a_ready_document_with_unreadable_pages_shows_a_warning() {
    let workspace = workspace();
    let form_context = FormContext {
        workspace: &workspace,
        csrf: "token",
        now: now(),
    };
    let partly = |state| DocumentView {
        page_count: Some(14),
        unreadable: Some(UnreadablePages {
            summary: "2 of 14 pages couldn\u{2019}t be read.".to_owned(),
            warnings: vec!["Pages 3, 7 are damaged and could not be read.".to_owned()],
        }),
        ..document(state)
    };
    let has_warning = |state| {
        let row = documents::row(form_context, &partly(state)).into_string();
        let mut tags = tags(&row).into_iter();
        tags.any(|tag| tag.get("class") == Some("row-warning"))
    };
    assert!(has_warning(DocumentState::Ready));
    // While the document is processed again, only that is shown.
    assert!(!has_warning(DocumentState::Queued));
}
