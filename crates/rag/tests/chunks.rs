//! Properties of the chunks of any document.
#![expect(clippy::unwrap_used, reason = "tests fail on unexpected values")]

use proptest::prelude::*;
use rag::{
    Chunk, ChunkConfig, Page, PositionedWord, Tokens, chunk, chunk_id, content_sha256,
    document_text,
};

fn pages<'page>(texts: &[&'page str]) -> Vec<Page<'page>> {
    (1..)
        .zip(texts)
        .map(|(number, text)| Page {
            number,
            text,
            words: &[],
            tables: &[],
        })
        .collect()
}

/// Checks all properties of the chunks of these pages.
fn check(texts: &[&str], config: &ChunkConfig, max_tokens: usize) -> Vec<Chunk> {
    let pages = pages(texts);
    let chunks = chunk(&pages, config);
    let characters: Vec<char> = document_text(&pages).chars().collect();
    let tokens = Tokens::new();
    let mut covered = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(usize::try_from(chunk.ordinal).unwrap(), index);
        assert_eq!(chunk.token_count, tokens.count(&chunk.text));
        assert!(
            (1..=max_tokens).contains(&chunk.token_count),
            "{} tokens in {:?}",
            chunk.token_count,
            chunk.text
        );
        assert_eq!(chunk.text, chunk.text.trim());
        assert_eq!(chunk.content_sha256, content_sha256(&chunk.text));
        let length = chunk.text.chars().count();
        let expected_text: String = characters[chunk.char_offset..chunk.char_offset + length]
            .iter()
            .map(|character| {
                if *character == '\0' {
                    '\u{fffd}'
                } else {
                    *character
                }
            })
            .collect();
        assert_eq!(expected_text, chunk.text);
        if chunk.char_offset > covered {
            assert!(
                characters[covered..chunk.char_offset]
                    .iter()
                    .all(|between| between.is_whitespace())
            );
        }
        assert!(
            chunk.char_offset + length > covered,
            "every chunk contains new text"
        );
        covered = chunk.char_offset + length;
        assert_eq!(chunk.page_from, chunk.page_to);
        let page = texts[chunk.page_from as usize - 1].replace('\0', "\u{fffd}");
        assert!(
            page.contains(&chunk.text),
            "not on page {}",
            chunk.page_from
        );
    }
    assert!(
        characters[covered..]
            .iter()
            .all(|rest| rest.is_whitespace())
    );
    chunks
}

fn default_check(texts: &[&str]) -> Vec<Chunk> {
    check(texts, &ChunkConfig::default(), rag::CHUNK_TOKENS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn chunks_cover_the_text_respect_the_limit_and_have_the_right_offsets(
        texts in prop::collection::vec("(([A-Za-z]{1,12}|[0-9]{1,6}|\\PC|[\u{5d0}-\u{5ea}]{2,6}|\u{1f469}\u{200d}\u{1f4bb}|e\u{301}\u{302}|[\u{4e00}-\u{4e30}]{3,9}。)([ ]|[.!?] |\n|\n\n|[ \t]{2,9}|)){0,120}", 0..5),
        max_tokens in 16_usize..80,
        overlap in 0_usize..8,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let config = ChunkConfig::new(max_tokens, overlap).unwrap();
        let chunks = check(&texts, &config, max_tokens);
        prop_assert_eq!(chunks, chunk(&pages(&texts), &config));
    }
}

#[test]
fn no_text_gives_no_chunks() {
    assert_eq!(default_check(&[]), []);
    assert_eq!(default_check(&["", " \n\t ", "\u{a0}\u{2003}"]), []);
    let spaces = " \n".repeat(500_000);
    assert_eq!(default_check(&[spaces.as_str()]), []);
}

#[test]
fn a_word_of_ten_megabytes_is_split_wherever_a_chunk_is_full() {
    let word: String = (0..10_000_000_u32)
        .map(|index| {
            char::from(b'a' + u8::try_from(index.wrapping_mul(2_654_435_761) >> 24).unwrap() % 26)
        })
        .collect();
    let chunks = chunk(&pages(&[&word]), &ChunkConfig::default());
    let joined: usize = chunks.iter().map(|chunk| chunk.text.len()).sum();
    assert_eq!(joined, word.len());
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.token_count <= rag::CHUNK_TOKENS)
    );
    // The chunks are well filled. Without words there is no overlap, so that chunks have at most
    // 160 tokens.
    let tokens: usize = chunks.iter().map(|chunk| chunk.token_count).sum();
    assert!(
        tokens / chunks.len() > 120,
        "{} a chunk",
        tokens / chunks.len()
    );
}

#[test]
fn scripts_without_spaces_symbols_and_joined_emoji_are_split() {
    for (text, repeats) in [
        ("\u{301}", 30_000),
        (
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
            3_000,
        ),
        (
            "\u{645}\u{631}\u{62d}\u{628}\u{627} \u{628}\u{643}. ",
            3_000,
        ),
        ("\u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}", 5_000),
        ("\u{6f22}\u{5b57}\u{3002}", 5_000),
        ("................ 12\n", 3_000),
        ("\0", 5_000),
        ("\r\n", 5_000),
        ("a\u{a0}", 5_000),
    ] {
        let text = text.repeat(repeats);
        default_check(&[text.as_str(), "a page behind it"]);
    }
}

#[test]
fn a_chunk_overlaps_the_previous_one_but_never_the_previous_page() {
    let sentence = |page: usize| {
        (0..60)
            .map(|number| {
                format!("Sentence {number} of page {page} says a little of this and that. ")
            })
            .collect::<Vec<_>>()
            .concat()
    };
    let texts = [sentence(1), sentence(2)];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let chunks = default_check(&texts);
    let overlapping = chunks
        .windows(2)
        .filter(|pair| pair[0].char_offset + pair[0].text.chars().count() > pair[1].char_offset)
        .count();
    assert_eq!(
        overlapping,
        chunks.len() - 2,
        "all but the first of each page"
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.text.starts_with("Sentence "))
    );
}

#[test]
fn each_page_has_its_own_chunks_however_short_it_is() {
    let texts = ["Agenda", "", "Budget: 12,000", "Questions?"];
    let chunks = default_check(&texts);
    let on: Vec<(u32, &str)> = chunks
        .iter()
        .map(|chunk| (chunk.page_from, chunk.text.as_str()))
        .collect();
    assert_eq!(
        on,
        [(1, "Agenda"), (3, "Budget: 12,000"), (4, "Questions?")]
    );
}

#[test]
fn the_words_of_a_line_are_one_box_and_columns_are_separate() {
    let text = "one two\nthree four";
    let word = |range: std::ops::Range<usize>, x: f32, y: f32| PositionedWord {
        range,
        x,
        y,
        width: 20.0,
        height: 10.0,
    };
    let words = [
        word(0..3, 10.0, 10.0),
        word(4..7, 35.0, 11.0),
        word(8..13, 10.0, 30.0),
        // The same height, but far to the right.
        word(14..18, 300.0, 30.0),
        PositionedWord {
            range: 14..18,
            x: f32::NAN,
            y: 0.0,
            width: 1.0,
            height: 1.0,
        },
    ];
    let chunks = chunk(
        &[Page {
            number: 7,
            text,
            words: &words,
            tables: &[],
        }],
        &ChunkConfig::default(),
    );
    let boxes: Vec<(u32, f32, f32, f32, f32)> = chunks[0]
        .boxes
        .iter()
        .map(|at| (at.page, at.x, at.y, at.width, at.height))
        .collect();
    assert_eq!(
        boxes,
        [
            (7, 10.0, 10.0, 45.0, 11.0),
            (7, 10.0, 30.0, 20.0, 10.0),
            (7, 300.0, 30.0, 20.0, 10.0)
        ]
    );
}

#[test]
fn ids_are_deterministic_and_differ_by_document_and_ordinal() {
    let document = uuid::Uuid::from_u128(7);
    assert_eq!(chunk_id(document, 3), chunk_id(document, 3));
    assert_ne!(chunk_id(document, 3), chunk_id(document, 4));
    assert_ne!(chunk_id(document, 3), chunk_id(uuid::Uuid::from_u128(8), 3));
    assert_eq!(chunk_id(document, 0).get_version_num(), 8);
}

#[test]
fn invalid_rules_are_rejected() {
    assert_eq!(
        ChunkConfig::new(8, 0),
        Err(rag::InvalidChunkConfig::TooSmall)
    );
    assert_eq!(
        ChunkConfig::new(100, 51),
        Err(rag::InvalidChunkConfig::Overlap)
    );
}

#[test]
fn a_chunk_that_starts_within_a_table_has_its_header() {
    let header = "Name\tJob\tAmount";
    let rows: Vec<String> = (0..60)
        .map(|row| format!("Person {row}\tretired school teacher\t{row}.00"))
        .collect();
    let text = format!("Donors of the year\n\n{header}\n{}", rows.join("\n"));
    let start = text.find(header).unwrap();
    let tables = [rag::Table {
        range: start..text.len(),
        header: header.to_owned(),
    }];
    let page = rag::Page {
        number: 1,
        text: &text,
        words: &[],
        tables: &tables,
    };
    let config = ChunkConfig::new(96, 16).unwrap();
    let chunks = rag::chunk(&[page], &config);
    assert!(chunks.len() > 3);
    for chunk in chunks.iter().skip(1) {
        let (before, rest) = chunk.text.split_once("Name\tJob\tAmount\n").unwrap();
        // The chunk with the first rows repeats the heading above the table.
        assert!(before.is_empty() || chunk.ordinal == 1, "{:?}", chunk.text);
        assert!(rest.starts_with("Person "), "{rest}");
        // The offset leads to the same end as without the header.
        let end = chunk.char_offset + chunk.text.chars().count();
        let before: String = text.chars().take(end).collect();
        assert!(before.ends_with(rest));
        assert!(chunk.token_count <= 96);
    }
}
