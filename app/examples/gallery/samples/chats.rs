//! Chat pages.

use app::ids::{DocumentId, MessageId, ThreadId};
use app::web::chat::pages::{
    self as chat, AnswerState, AnswerView, AuthorView, ChatPage, CitationView, DeletedThread,
    DocumentChoice, MessageView, QuestionView, RatingView, Sharing, ThreadLink, ThreadView,
    UnreadDocument,
};
use app::web::shared::pages::FormContext;
use maud::Markup;

use super::{HOSTILE, ago, hostile_inside, inside, now, uuid, workspace};

#[expect(clippy::too_many_lines, reason = "a list of sample pages")]
pub(super) fn pages() -> Vec<(&'static str, Markup)> {
    let id = workspace();
    let form_context = FormContext {
        workspace: &id,
        csrf: "sample-token",
        now: now(),
    };
    let fresh = ChatPage {
        threads: threads(),
        search: String::new(),
        thread: None,
        pending_documents: 0,
        documents: documents(),
        chosen: vec![DocumentId(uuid(106))],
        deleted: None,
        excerpts_only: false,
        draft: String::new(),
        error: None,
    };
    let thread = |messages: Vec<MessageView>, scope| ChatPage {
        thread: Some(ThreadView {
            id: ThreadId(uuid(50)),
            title: "When can the rent go up, and by how much?".to_owned(),
            scope,
            sharing: Sharing::SharedByReader,
            is_pinned: true,
            can_delete: true,
            messages,
        }),
        ..fresh.clone()
    };
    vec![
        ("chat-new", chat::page(&inside(), form_context, &fresh)),
        (
            "chat-deleted",
            chat::page(
                &inside(),
                form_context,
                &ChatPage {
                    deleted: Some(DeletedThread {
                        id: ThreadId(uuid(54)),
                        title: HOSTILE.to_owned(),
                    }),
                    ..fresh.clone()
                },
            ),
        ),
        (
            "chat-pending-documents",
            chat::page(
                &inside(),
                form_context,
                &ChatPage {
                    threads: Vec::new(),
                    documents: Vec::new(),
                    chosen: Vec::new(),
                    pending_documents: 3,
                    ..fresh.clone()
                },
            ),
        ),
        (
            "chat-search-nothing",
            chat::page(
                &inside(),
                form_context,
                &ChatPage {
                    threads: Vec::new(),
                    search: HOSTILE.to_owned(),
                    ..fresh.clone()
                },
            ),
        ),
        (
            "chat-no-documents",
            chat::page(
                &inside(),
                form_context,
                &ChatPage {
                    threads: Vec::new(),
                    documents: Vec::new(),
                    chosen: Vec::new(),
                    ..fresh.clone()
                },
            ),
        ),
        (
            "chat",
            chat::page(&inside(), form_context, &thread(first(), Vec::new())),
        ),
        (
            "chat-answering",
            chat::page(
                &inside(),
                form_context,
                &thread(
                    long(),
                    vec![choice(105, "Lease agreement 2026"), choice(106, "Statutes")],
                ),
            ),
        ),
        (
            "chat-markdown",
            chat::page(&inside(), form_context, &thread(markdown(), Vec::new())),
        ),
        (
            "chat-ends",
            chat::page(&inside(), form_context, &thread(ends(), Vec::new())),
        ),
        (
            "chat-excerpts",
            chat::page(
                &inside(),
                form_context,
                &ChatPage {
                    excerpts_only: true,
                    ..thread(excerpts(), Vec::new())
                },
            ),
        ),
        (
            "chat-hostile",
            chat::page(
                &hostile_inside(),
                form_context,
                &ChatPage {
                    draft: HOSTILE.to_owned(),
                    error: Some(HOSTILE.to_owned()),
                    ..thread(hostile(), vec![choice(108, HOSTILE)])
                },
            ),
        ),
    ]
}

fn first() -> Vec<MessageView> {
    vec![
        question(1, "When can the rent go up, and by how much?"),
        answer(2, AnswerState::Complete, TEXT),
    ]
}

fn long() -> Vec<MessageView> {
    let mut messages = first();
    messages.extend([
        question(3, "And if the index falls?"),
        answer(
            4,
            AnswerState::Pending,
            "Then it stays where it is: the agreement speaks of increases **only** [1].",
        ),
    ]);
    messages
}

fn ends() -> Vec<MessageView> {
    let failed = AnswerState::Failed {
        reason: "The AI model isn\u{2019}t responding.".to_owned(),
        hint: "Your question was saved. Try again in a moment.".to_owned(),
        can_continue: false,
    };
    let too_long = AnswerState::Failed {
        reason: "The answer reached its maximum length".to_owned(),
        hint: "Continue it, or ask a narrower question.".to_owned(),
        can_continue: true,
    };
    vec![
        question(5, "Who pays for the lift?"),
        answer(6, AnswerState::NotFound, ""),
        question(7, "Summarize everything"),
        answer(8, AnswerState::Stopped, "The agreement covers"),
        question(9, "And the storage room?"),
        answer(10, failed, ""),
        question(17, "List all duties"),
        answer(18, too_long, "The tenant pays the rent [1]"),
    ]
}

fn markdown() -> Vec<MessageView> {
    vec![
        question(15, "Compare the offers"),
        answer(16, AnswerState::Complete, MARKDOWN),
    ]
}

fn excerpts() -> Vec<MessageView> {
    vec![
        question(11, "Is there a storage room?"),
        with_author(
            answer_view(12, AnswerState::Complete, ""),
            AuthorView::Excerpts,
        ),
    ]
}

fn hostile() -> Vec<MessageView> {
    vec![
        question(13, HOSTILE),
        MessageView::Answer(AnswerView {
            text: format!(
                "{HOSTILE} [1] **{HOSTILE}** `{HOSTILE}`\n\n- {HOSTILE}\n\n```\n{HOSTILE}\n```\n\n[{HOSTILE}](https://evil.example/?q={HOSTILE})\n\n| {HOSTILE} |\n|---|\n| ![{HOSTILE}](https://evil.example/x.png) |"
            ),
            citations: vec![citation(1, HOSTILE, HOSTILE, true)],
            author: AuthorView::Model {
                name: HOSTILE.to_owned(),
            },
            stopped_by: Some(HOSTILE.to_owned()),
            ..answer_view(14, AnswerState::Stopped, "")
        }),
    ]
}

const TEXT: &str = "The rent can go up **once a year, on 1 April** [1]. Two limits hold:\n\n- It follows the consumer price index, as published in January [1].\n- It never rises by more than 4% in one year [2].\n\nThe landlord has to announce it in writing at least one month ahead [1][3].";

const MARKDOWN: &str = "## Offers\n\nBoth include *insurance of the building* [1]:\n\n| Offer | Since | Price per year |\n|---|:---:|---:|\n| North | 2021 | 1,200 euros [1] |\n| South, with **glass** | 2024 | 980 euros [2] |\n\n1. North covers\n   - fire and water [1]\n   - storms [2]\n2. South covers `fire` only [2].\n\n> No adjustment exceeds four per cent. [2]\n\n```\ntotal = price[1] * 1.19\n```\n\n---\n\nSee [the comparison](https://offers.example/compare) and ![a chart](https://offers.example/chart.png).";

fn threads() -> Vec<ThreadLink> {
    [
        (50, "When can the rent go up, and by how much?", 40),
        (51, "What does the survey say about the roof?", 9_000),
        (52, HOSTILE, 86_400 * 2),
        (53, "Which offers include insurance of the building, and up to which amount for each kind of damage?", 86_400 * 40),
    ]
    .into_iter()
    .map(|(number, title, seconds)| ThreadLink {
        id: ThreadId(uuid(number)),
        title: title.to_owned(),
        sharing: match number {
            50 => Sharing::SharedByReader,
            52 => Sharing::SharedBy(HOSTILE.to_owned()),
            _ => Sharing::Private,
        },
        is_pinned: number == 50,
        updated_at: ago(seconds),
    })
    .collect()
}

fn documents() -> Vec<DocumentChoice> {
    [
        (105, "Lease agreement 2026"),
        (106, "Statutes"),
        (107, HOSTILE),
    ]
    .into_iter()
    .map(|(number, title)| choice(number, title))
    .collect()
}

fn choice(number: u128, title: &str) -> DocumentChoice {
    DocumentChoice {
        id: DocumentId(uuid(number)),
        title: title.to_owned(),
    }
}

fn question(number: u128, text: &str) -> MessageView {
    MessageView::Question(QuestionView {
        id: MessageId(uuid(200 + number)),
        text: text.to_owned(),
        asked_by: Some("Mira Halvorsen".to_owned()),
        asked_at: ago(60),
    })
}

fn answer(number: u128, state: AnswerState, text: &str) -> MessageView {
    MessageView::Answer(answer_view(number, state, text))
}

fn with_author(view: AnswerView, author: AuthorView) -> MessageView {
    MessageView::Answer(AnswerView { author, ..view })
}

fn answer_view(number: u128, state: AnswerState, text: &str) -> AnswerView {
    AnswerView {
        id: MessageId(uuid(200 + number)),
        author: AuthorView::Model {
            name: "gpt-4o-mini".to_owned(),
        },
        text: text.to_owned(),
        citations: vec![
            citation(
                1,
                "Lease agreement 2026",
                "The rent may be adjusted once a year, on 1 April, following the consumer price index. The adjustment is announced in writing at least one month ahead.",
                true,
            ),
            CitationView {
                page_to: 8,
                printed_from: Some("v".to_owned()),
                printed_to: Some("vi".to_owned()),
                ..citation(
                    2,
                    "Lease agreement 2026",
                    "No adjustment exceeds four per cent of the rent paid until then.",
                    true,
                )
            },
            CitationView {
                document: None,
                ..citation(
                    3,
                    "Tenancy act, annotated",
                    "Notice of an increase is given in writing.",
                    true,
                )
            },
            citation(
                4,
                "Statutes",
                "The board decides on works in the common parts.",
                false,
            ),
        ],
        unread: match state {
            AnswerState::NotFound => vec![
                unread("Lease agreement 2026", "2 of 14 pages are images."),
                unread(HOSTILE, "1 of 3 pages couldn\u{2019}t be read."),
                unread("Statutes", "All 4 pages are images."),
                unread("Survey", "1 of 20 pages is an image."),
            ],
            _ => Vec::new(),
        },
        stopped_by: Some("Mira Halvorsen".to_owned()),
        rating: Some(RatingView::Good),
        created_at: ago(55),
        state,
    }
}

fn unread(title: &str, summary: &str) -> UnreadDocument {
    UnreadDocument {
        document: DocumentId(uuid(105)),
        title: title.to_owned(),
        summary: summary.to_owned(),
    }
}

fn citation(number: u32, title: &str, quote: &str, cited: bool) -> CitationView {
    CitationView {
        number,
        document: Some(DocumentId(uuid(105))),
        title: title.to_owned(),
        page: 5 + number,
        page_from: 5 + number,
        page_to: 5 + number,
        printed_from: None,
        printed_to: None,
        cited,
        quote: quote.to_owned(),
    }
}
