//! Search over the text of a workspace's documents, in the tenant's database: the words themselves, ranked, with what stands around
//! them.

use std::str::FromStr;

use sqlx::{PgPool, Row as _};

use crate::ids::DocumentId;

/// Characters of a query at most.
pub const QUERY_CHARS_MAX: usize = 200;
/// Passages shown at most.
pub const HITS_MAX: usize = 20;
/// Milliseconds a search may take in the database.
const SEARCH_LIMIT_MS: u32 = 5_000;
/// Marks around words that were found. PostgreSQL puts them in and they are cut out again here, so that the text between is never
/// taken for markup. They are noncharacters, which no text of ours holds: a passage that has them all the same is shown without.
const FOUND_FROM: char = '\u{fdd0}';
const FOUND_TO: char = '\u{fdd1}';
/// Stands for `<` meanwhile: what looks like a tag would be left out of the snippet, and documents are full of `a < b` and `Vec<T>`.
const ANGLE: char = '\u{fdd2}';

/// What somebody looks for, as `websearch_to_tsquery` understands it: words, "phrases", or, -without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery(String);

/// A text is no query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// There is nothing to look for.
    #[error("there is nothing to look for")]
    Empty,
    /// It does not fit.
    #[error("a search has at most {QUERY_CHARS_MAX} characters")]
    TooLong,
}

impl SearchQuery {
    /// As it was typed, without space around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SearchQuery {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        // A NUL is no character to PostgreSQL.
        let text = text.replace('\0', " ");
        let text = text.trim();
        match text.chars().count() {
            0 => Err(SearchError::Empty),
            1..=QUERY_CHARS_MAX => Ok(Self(text.to_owned())),
            _ => Err(SearchError::TooLong),
        }
    }
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where it stands.
    pub document: DocumentId,
    /// How that is called.
    pub title: String,
    /// Its first page.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// The text around what was found.
    pub snippet: Vec<Piece>,
}

/// A piece of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was looked for.
    pub is_found: bool,
}

/// The best passages, at most [`HITS_MAX`], and whether there are more.
pub async fn search(tenant: &PgPool, query: &SearchQuery) -> sqlx::Result<(Vec<Hit>, bool)> {
    let mut transaction = tenant.begin().await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(SEARCH_LIMIT_MS.to_string())
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    // Neighbours overlap, so the same words are found in both: of each document's pages, the best passage stands for the page.
    let rows = sqlx::query(
        "WITH query AS (SELECT websearch_to_tsquery('simple', $1) AS q),
              found AS (
                  SELECT DISTINCT ON (c.document_id, c.page_from)
                         c.document_id, c.page_from, c.page_to, c.text, ts_rank_cd(c.search, q, 1) AS rank
                  FROM chunks c, query WHERE c.search @@ q
                  ORDER BY c.document_id, c.page_from, rank DESC, c.ordinal),
              best AS (SELECT * FROM found ORDER BY rank DESC, document_id, page_from LIMIT $2)
         SELECT b.document_id, d.title, b.page_from, b.page_to,
                ts_headline('simple', translate(b.text, $3, $6), q,
                    'MaxFragments=2, MinWords=8, MaxWords=28, FragmentDelimiter=\" … \", StartSel=' || $4 || ', StopSel=' || $5) AS snippet
         FROM best b JOIN documents d ON d.id = b.document_id, query
         ORDER BY b.rank DESC, b.document_id, b.page_from",
    )
    .bind(query.as_str())
    .bind(i64::try_from(HITS_MAX + 1).unwrap_or(i64::MAX))
    .bind(format!("<{FOUND_FROM}{FOUND_TO}{ANGLE}"))
    .bind(FOUND_FROM.to_string())
    .bind(FOUND_TO.to_string())
    .bind(ANGLE.to_string())
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    let more = rows.len() > HITS_MAX;
    let hits = rows
        .iter()
        .take(HITS_MAX)
        .map(|row| {
            Ok(Hit {
                document: DocumentId(row.try_get("document_id")?),
                title: row.try_get("title")?,
                page_from: page(row.try_get("page_from")?),
                page_to: page(row.try_get("page_to")?),
                snippet: pieces(row.try_get("snippet")?),
            })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok((hits, more))
}

pub(super) fn page(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(1)
}

fn pieces(marked: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (part, is_found) in marked.split(FOUND_FROM).enumerate().flat_map(|(at, part)| {
        match part.split_once(FOUND_TO) {
            Some((found, rest)) if at > 0 => [(found, true), (rest, false)],
            _ => [(part, false), ("", false)],
        }
    }) {
        if !part.is_empty() {
            pieces.push(Piece {
                text: part.replace(FOUND_TO, "").replace(ANGLE, "<"),
                is_found,
            });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(text: &str, is_found: bool) -> Piece {
        Piece {
            text: text.to_owned(),
            is_found,
        }
    }

    #[test]
    fn marks_become_pieces() {
        assert_eq!(
            pieces("a \u{fdd0}b\u{fdd1} c"),
            [piece("a ", false), piece("b", true), piece(" c", false)]
        );
        assert_eq!(
            pieces("\u{fdd0}b\u{fdd1}\u{fdd0}c\u{fdd1}"),
            [piece("b", true), piece("c", true)]
        );
        assert_eq!(pieces(""), []);
    }

    proptest! {
        #[test]
        fn nothing_of_the_text_is_lost_but_the_marks(text in "[ab<>&\u{fdd0}\u{fdd1}]{0,40}") {
            let joined: String = pieces(&text).into_iter().map(|piece| piece.text).collect();
            prop_assert_eq!(joined, text.replace([FOUND_FROM, FOUND_TO], ""));
        }
    }

    #[test]
    fn a_query_is_not_empty_and_not_endless() {
        assert_eq!(" \0 ".parse::<SearchQuery>(), Err(SearchError::Empty));
        assert_eq!(
            "x".repeat(201).parse::<SearchQuery>(),
            Err(SearchError::TooLong)
        );
        assert_eq!(" a b ".parse::<SearchQuery>().unwrap().as_str(), "a b");
    }
}
