//! Tests of the parent with a misbehaving child, which is a shell script.

use std::time::Duration;

use pdf_text::{DocumentError, ExtractError, Extractor, ExtractorConfig, Limits};

use crate::pdf::document;
use crate::{extract, extractor};

/// Runs a shell script as the child.
async fn with_child(script: &str, limits: Limits) -> Result<(), DocumentError> {
    let extractor = Extractor::new(ExtractorConfig {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        limits,
    });
    match extractor.extract(&b"%PDF-1.7"[..], |_| ()).await {
        Ok(_) => Ok(()),
        Err(ExtractError::Document(error)) => Err(error),
        Err(error) => panic!("the extractor failed: {error:?}"),
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn every_exit_of_the_child_maps_to_an_error() {
    let cases = [
        ("exit 0", DocumentError::Internal),
        ("exit 3", DocumentError::Internal),
        ("kill -XCPU $$", DocumentError::TooSlow),
        ("kill -KILL $$", DocumentError::TooComplex),
        ("kill -SEGV $$", DocumentError::TooComplex),
        ("kill -ABRT $$", DocumentError::TooComplex),
        ("kill -SYS $$", DocumentError::Internal),
        ("echo invalid output", DocumentError::Internal),
        (
            r#"printf '{"done"'; kill -KILL $$"#,
            DocumentError::TooComplex,
        ),
        // A message after the last one is invalid.
        (
            r#"echo '{"failed":{"error":"no_text"}}{"failed":{"error":"no_text"}}'"#,
            DocumentError::Internal,
        ),
        (
            r#"echo '{"failed":{"error":"no_text"}}'"#,
            DocumentError::NoText,
        ),
        // The error of the first reader is reported when the second ends the child.
        (
            r#"echo '{"fallback":{"error":{"error":"broken"}}}'; kill -ABRT $$"#,
            DocumentError::Broken,
        ),
    ];
    for (script, error) in cases {
        assert_eq!(
            with_child(script, Limits::default()).await,
            Err(error),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_page_whose_words_do_not_match_its_text_is_rejected() {
    let page = |words: &str| {
        format!(
            r#"echo '{{"page":{{"number":1,"width":9,"height":9,"text":"äb","words":{words}}}}}'; echo '{{"done":{{"report":{{"page_count":1}},"reader":"hayro"}}}}'"#
        )
    };
    let accepted = with_child(&page("[[0,2,0,0,1,1],[2,3,1,0,1,1]]"), Limits::default()).await;
    assert_eq!(accepted, Ok(()));
    for words in [
        "[[0,4,0,0,1,1]]",
        "[[0,1,0,0,1,1]]",
        "[[2,3,0,0,1,1],[0,2,0,0,1,1]]",
        "[[2,2,0,0,1,1]]",
        "[[0,2,-4,0,1,1]]",
        "[[0,2,0,0,null,1]]",
    ] {
        let rejected = with_child(&page(words), Limits::default()).await;
        assert_eq!(rejected, Err(DocumentError::Internal), "{words}");
    }
}

#[tokio::test]
async fn pages_over_the_limits_are_rejected_even_if_the_child_sends_them() {
    let page = r#"{"page":{"number":1,"width":9,"height":9,"text":"a b","words":[[0,1,0,0,1,1],[2,3,1,0,1,1]]}}"#;
    let done = r#"{"done":{"report":{"page_count":1},"reader":"hayro"}}"#;
    let two_pages = format!("echo '{page}'; echo '{page}'; echo '{done}'");
    let exact = limits(|limits| {
        limits.max_pages = 2;
        limits.max_words = 4;
        limits.max_page_words = 2;
        limits.max_text_bytes = 3;
    });
    assert_eq!(with_child(&two_pages, exact.clone()).await, Ok(()));
    let change: [fn(&mut Limits); 4] = [
        |limits| limits.max_pages = 1,
        |limits| limits.max_words = 3,
        |limits| limits.max_page_words = 1,
        |limits| limits.max_text_bytes = 2,
    ];
    for change in change {
        let mut stricter = exact.clone();
        change(&mut stricter);
        assert_eq!(
            with_child(&two_pages, stricter.clone()).await,
            Err(DocumentError::Internal),
            "{stricter:?}"
        );
    }
}

#[tokio::test]
async fn dropping_the_receiver_of_the_pages_ends_the_extraction() {
    let text = "A page that nobody waits for.";
    let file = document(&[text; 40]);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    drop(receiver);
    let extracted = extractor(Limits::default())
        .extract_pages(&file[..], sender, |_| ())
        .await;
    assert!(
        matches!(extracted, Err(ExtractError::Stopped)),
        "{extracted:?}"
    );
}

#[tokio::test]
async fn a_child_that_hangs_is_killed() {
    let short = limits(|limits| limits.wall_timeout = Duration::from_millis(300));
    // The child hangs without reading, after reading, or with its output closed.
    for script in [
        "sleep 600",
        "cat > /dev/null; sleep 600",
        "exec >&-; sleep 600",
    ] {
        let rejected = with_child(&format!("exec 2>&-; {script}"), short.clone()).await;
        assert_eq!(rejected, Err(DocumentError::TooSlow), "{script}");
    }
}

#[tokio::test]
async fn a_child_with_endless_output_is_killed() {
    let short = limits(|limits| limits.max_output_bytes = 1024 * 1024);
    for line in [
        r#"{"progress":{"read":1,"pages":9}}"#.to_owned(),
        "x".repeat(5_000),
    ] {
        let script = format!("yes '{line}'");
        assert_eq!(
            with_child(&script, short.clone()).await,
            Err(DocumentError::Internal)
        );
    }
    let one_line = "yes | tr -d '\\n'";
    assert_eq!(
        with_child(one_line, short).await,
        Err(DocumentError::Internal)
    );
}

#[tokio::test]
async fn the_child_has_no_environment() {
    let script = r#"
        [ -r /proc/$$/environ ] || exit 1
        grep -q . /proc/$$/environ && exit 1
        echo '{"failed":{"error":"no_text"}}'
    "#;
    assert_eq!(
        with_child(script, Limits::default()).await,
        Err(DocumentError::NoText)
    );
}

#[tokio::test]
async fn a_missing_program_is_not_a_document_error() {
    let extractor = Extractor::new(ExtractorConfig {
        program: "/nowhere/at/all".into(),
        args: Vec::new(),
        limits: Limits::default(),
    });
    let error = extractor.extract(&b""[..], |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Spawn(_))), "{error:?}");
}

#[tokio::test]
async fn an_input_error_is_not_a_document_error() {
    let file = document(&["a page"]);
    let (half, _) = file.split_at(file.len() / 2);
    let input = failing_after(half);
    let error = extractor(Limits::default()).extract(input, |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Input(_))), "{error:?}");
}

/// Yields the bytes and then an error.
fn failing_after(bytes: &[u8]) -> impl tokio::io::AsyncRead + Unpin + Send {
    use tokio::io::AsyncReadExt as _;
    bytes.chain(Fails)
}

struct Fails;

impl tokio::io::AsyncRead for Fails {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test]
async fn waiting_for_the_input_times_out() {
    let (reader, _writer) = tokio::io::duplex(16);
    let short = limits(|limits| limits.input_timeout = Duration::from_millis(200));
    let error = extractor(short).extract(reader, |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Input(_))), "{error:?}");
}

#[tokio::test]
async fn dropping_an_extraction_kills_its_child() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
    let running = tokio::spawn(async move { with_child(&script, Limits::default()).await });
    let pid = until(|| {
        let pid = std::fs::read_to_string(&pid_file).ok()?;
        pid.ends_with('\n').then(|| pid.trim().to_owned())
    })
    .await;
    running.abort();
    let stat = format!("/proc/{pid}/stat");
    until(|| {
        // The process is gone, or a zombie.
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

/// Polls until `poll` returns a value.
async fn until<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    const POLL: Duration = Duration::from_millis(5);
    const WAIT_MAX: Duration = Duration::from_secs(20);
    tokio::time::timeout(WAIT_MAX, async {
        loop {
            if let Some(found) = poll() {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
    .expect("the condition becomes true")
}

#[tokio::test]
async fn documents_are_read_concurrently() {
    let file = document(&["some page"; 3]);
    let reads: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            tokio::spawn(async move { extract(Limits::default(), &file).await })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().pages.len(), 3);
    }
}
