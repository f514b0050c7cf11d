//! Whatever the child does, the parent ends with a word for it: here the child is a shell that plays every part.

use std::time::Duration;

use pdf_text::{ExtractError, Extractor, ExtractorConfig, Limits, Refusal};

use crate::pdf::document;
use crate::{extract, extractor};

/// Runs a shell script in the child's place.
async fn with_child(script: &str, limits: Limits) -> Result<(), Refusal> {
    let extractor = Extractor::new(ExtractorConfig {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        limits,
    });
    match extractor.extract(&b"%PDF-1.7"[..], |_| ()).await {
        Ok(_) => Ok(()),
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("the machinery failed: {error:?}"),
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn every_end_of_the_child_has_its_refusal() {
    let cases = [
        ("exit 0", Refusal::Internal),
        ("exit 3", Refusal::Internal),
        ("kill -XCPU $$", Refusal::TooSlow),
        ("kill -KILL $$", Refusal::TooComplex),
        ("kill -SEGV $$", Refusal::TooComplex),
        ("kill -ABRT $$", Refusal::TooComplex),
        ("kill -SYS $$", Refusal::Internal),
        ("echo what is not an answer", Refusal::Internal),
        (
            r#"printf '{"line":"done"'; kill -KILL $$"#,
            Refusal::TooComplex,
        ),
        // After the last line nothing may come.
        (
            r#"echo '{"line":"refused","refusal":"no_text"}{"line":"refused","refusal":"no_text"}'"#,
            Refusal::Internal,
        ),
        (
            r#"echo '{"line":"refused","refusal":"no_text"}'"#,
            Refusal::NoText,
        ),
        // The first reader's word holds when the second ends the child.
        (
            r#"echo '{"line":"second","refusal":{"refusal":"broken"}}'; kill -ABRT $$"#,
            Refusal::Broken,
        ),
    ];
    for (script, refusal) in cases {
        assert_eq!(
            with_child(script, Limits::default()).await,
            Err(refusal),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_page_whose_words_are_not_in_its_text_is_not_believed() {
    let page = |words: &str| {
        format!(
            r#"echo '{{"line":"page","number":1,"width":9,"height":9,"text":"äb","words":{words}}}'; echo '{{"line":"done","pages":1,"unreadable":[],"opinion":"first"}}'"#
        )
    };
    let believed = with_child(&page("[[0,2,0,0,1,1],[2,3,1,0,1,1]]"), Limits::default()).await;
    assert_eq!(believed, Ok(()));
    for words in [
        "[[0,4,0,0,1,1]]",
        "[[0,1,0,0,1,1]]",
        "[[2,3,0,0,1,1],[0,2,0,0,1,1]]",
        "[[2,2,0,0,1,1]]",
        "[[0,2,-4,0,1,1]]",
        "[[0,2,0,0,null,1]]",
    ] {
        let refused = with_child(&page(words), Limits::default()).await;
        assert_eq!(refused, Err(Refusal::Internal), "{words}");
    }
}

#[tokio::test]
async fn a_child_that_hangs_is_killed() {
    let short = limits(|limits| limits.wall_time_max = Duration::from_millis(300));
    // It hangs without reading, after reading, and with its output closed.
    for script in [
        "sleep 600",
        "cat > /dev/null; sleep 600",
        "exec >&-; sleep 600",
    ] {
        let refused = with_child(&format!("exec 2>&-; {script}"), short.clone()).await;
        assert_eq!(refused, Err(Refusal::TooSlow), "{script}");
    }
}

#[tokio::test]
async fn a_child_that_talks_without_end_is_killed() {
    let short = limits(|limits| limits.output_bytes_max = 1024 * 1024);
    for line in [
        r#"{"line":"progress","read":1,"pages":9}"#.to_owned(),
        "x".repeat(5_000),
    ] {
        let script = format!("yes '{line}'");
        assert_eq!(
            with_child(&script, short.clone()).await,
            Err(Refusal::Internal)
        );
    }
    let one_line = "yes | tr -d '\\n'";
    assert_eq!(with_child(one_line, short).await, Err(Refusal::Internal));
}

#[tokio::test]
async fn the_child_has_no_environment() {
    let script = r#"
        [ -r /proc/$$/environ ] || exit 1
        grep -q . /proc/$$/environ && exit 1
        echo '{"line":"refused","refusal":"no_text"}'
    "#;
    assert_eq!(
        with_child(script, Limits::default()).await,
        Err(Refusal::NoText)
    );
}

#[tokio::test]
async fn a_program_that_is_missing_is_not_the_documents_fault() {
    let extractor = Extractor::new(ExtractorConfig {
        program: "/nowhere/at/all".into(),
        args: Vec::new(),
        limits: Limits::default(),
    });
    let error = extractor.extract(&b""[..], |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Program(_))), "{error:?}");
}

#[tokio::test]
async fn a_file_that_breaks_off_on_its_way_is_not_the_documents_fault() {
    let file = document(&["a page"]);
    let (half, _) = file.split_at(file.len() / 2);
    let broken = breaking_off(half);
    let error = extractor(Limits::default()).extract(broken, |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Input(_))), "{error:?}");
}

/// Yields the bytes, and then an error.
fn breaking_off(bytes: &[u8]) -> impl tokio::io::AsyncRead + Unpin + Send {
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
async fn a_file_that_never_comes_is_not_waited_for() {
    let (reader, _writer) = tokio::io::duplex(16);
    let short = limits(|limits| limits.input_time_max = Duration::from_millis(200));
    let error = extractor(short).extract(reader, |_| ()).await;
    assert!(matches!(error, Err(ExtractError::Input(_))), "{error:?}");
}

#[tokio::test]
async fn a_dropped_extraction_takes_its_child_with_it() {
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
        // Gone, or dead and not yet waited for.
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

/// What `look` gives once it gives something.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    const POLL: Duration = Duration::from_millis(5);
    const WAIT_MAX: Duration = Duration::from_secs(20);
    tokio::time::timeout(WAIT_MAX, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
    .expect("it comes to pass")
}

#[tokio::test]
async fn documents_are_read_beside_each_other() {
    let file = document(&["a page of its own"; 3]);
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
