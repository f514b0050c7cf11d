//! Conversations: what the model knows of the turns before a question.

use app::ask::MessageState;
use app::ask::threads::{AskedQuestion, Message, QuestionTarget};
use app::ids::DocumentId;
use openai_stub::{Fault, Route};

use super::support::{ChatFixture, Process};

const FOLLOW_UP: &str = "and what about its height?";

struct Towers {
    fixture: ChatFixture,
    eiffel: DocumentId,
}

impl Towers {
    async fn start() -> Self {
        let fixture = ChatFixture::start().await;
        let eiffel = fixture
            .document("Paris", &["The Eiffel Tower is 330 metres tall."])
            .await;
        for (title, text) in [
            ("Tokyo", "The Tokyo Skytree has a height of 634 metres."),
            (
                "Toronto",
                "The CN Tower in Toronto: its height is 553 metres.",
            ),
        ] {
            fixture.document(title, &[text]).await;
        }
        Self { fixture, eiffel }
    }

    async fn ask(
        &self,
        process: &Process,
        question: &str,
        target: QuestionTarget<'_>,
    ) -> (AskedQuestion, Message) {
        let asked = self.fixture.ask(question, target).await.unwrap();
        let (_, answer) = self.fixture.read(process, &asked).await;
        (asked, answer)
    }

    /// Whether an answer quotes no other tower.
    fn is_about_eiffel(&self, answer: &Message) -> bool {
        let mut quoted = answer.citations.iter();
        quoted.all(|citation| citation.document == self.eiffel)
            && !answer.text.contains("634")
            && !answer.text.contains("553")
    }

    /// Asks how tall the Eiffel Tower is, and then about its height.
    async fn follow_up(&self, process: &Process) -> Message {
        let (first, answer) = self
            .ask(
                process,
                "How tall is the Eiffel Tower?",
                QuestionTarget::NewThread(&[]),
            )
            .await;
        assert_eq!(answer.citations[0].document, self.eiffel);
        let thread = QuestionTarget::Thread(first.thread);
        self.ask(process, FOLLOW_UP, thread).await.1
    }
}

#[tokio::test]
async fn a_follow_up_question_is_rewritten_and_the_model_reads_the_turns_before_it() {
    let towers = Towers::start().await;
    let answer = towers.follow_up(&towers.fixture.process()).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(answer.text, "The Eiffel Tower is 330 metres tall. [1]");
    assert!(towers.is_about_eiffel(&answer), "{answer:?}");
    let messages = towers.fixture.stub.last_messages();
    let roles: Vec<&str> = messages.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(messages[1].1, "How tall is the Eiffel Tower?");
    assert!(
        messages[2].1.contains("330 metres") && !messages[2].1.contains('['),
        "{messages:?}"
    );
    assert!(
        messages[3]
            .1
            .ends_with("Question: and what about its height? (How tall is the Eiffel Tower?)"),
        "{messages:?}"
    );
    // One call for the first answer, and one each to rewrite and to answer the second question.
    assert_eq!(towers.fixture.stub.counts().chat_requests, 3);
}

#[tokio::test]
async fn without_a_model_a_follow_up_question_is_searched_with_the_words_of_the_previous_one() {
    let towers = Towers::start().await;
    let answer = towers.follow_up(&towers.fixture.process_with(None)).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(
        !answer.citations.is_empty() && towers.is_about_eiffel(&answer),
        "{answer:?}"
    );
    assert_eq!(towers.fixture.stub.counts().chat_requests, 0);
}

#[tokio::test]
async fn if_rewriting_fails_the_question_is_searched_with_the_words_of_the_previous_one() {
    let towers = Towers::start().await;
    let process = towers.fixture.process();
    let (first, _) = towers
        .ask(
            &process,
            "How tall is the Eiffel Tower?",
            QuestionTarget::NewThread(&[]),
        )
        .await;
    for reply in ["", "NOT_FOUND", "\n \n"] {
        towers
            .fixture
            .stub
            .fail_next(Route::Chat, Fault::Answer(reply.to_owned()));
        let thread = QuestionTarget::Thread(first.thread);
        let (_, answer) = towers.ask(&process, FOLLOW_UP, thread).await;
        assert_eq!(answer.citations[0].document, towers.eiffel, "{reply:?}");
        let messages = towers.fixture.stub.last_messages();
        let (_, question) = messages.last().unwrap();
        assert!(
            question.ends_with("Question: and what about its height?"),
            "{question}"
        );
    }
    // Each attempt to rewrite the question fails.
    for _ in 0..2 {
        towers
            .fixture
            .stub
            .fail_next(Route::Chat, Fault::Status(503));
    }
    let thread = QuestionTarget::Thread(first.thread);
    let (_, answer) = towers.ask(&process, FOLLOW_UP, thread).await;
    assert_eq!(answer.citations[0].document, towers.eiffel);
}

#[tokio::test]
async fn a_new_topic_in_a_conversation_is_searched_on_its_own() {
    let towers = Towers::start().await;
    let lease = towers
        .fixture
        .document(
            "Lease",
            &["The tenant pays the monthly rent of 1,200 euros."],
        )
        .await;
    let process = towers.fixture.process_with(None);
    let (first, _) = towers
        .ask(
            &process,
            "How tall is the Eiffel Tower?",
            QuestionTarget::NewThread(&[]),
        )
        .await;
    let thread = QuestionTarget::Thread(first.thread);
    let (_, answer) = towers
        .ask(&process, "Who pays the monthly rent?", thread)
        .await;
    assert_eq!(answer.citations[0].document, lease);
}
