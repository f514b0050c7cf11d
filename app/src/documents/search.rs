//! Full-text search in a workspace's documents, in the tenant's database: ranked passages with a
//! snippet around each match.

use std::str::FromStr;
use std::time::Duration;

use sqlx::{PgPool, Row as _};

use crate::ids::DocumentId;
use crate::tenants::begin_with_timeout;

pub const MAX_QUERY_CHARS: usize = 200;
/// Passages in a result.
pub const MAX_HITS: usize = 20;
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Markers around matches. PostgreSQL inserts them and [`parts`] removes them, so the text in
/// between is never interpreted as markup. They are Unicode noncharacters, which extracted text
/// does not contain; if a passage contains one, it is dropped.
const MATCH_START: char = '\u{fdd0}';
const MATCH_END: char = '\u{fdd1}';
/// Replaces `<` while PostgreSQL builds the snippet: `ts_headline` drops whatever looks like a tag,
/// and documents contain `a < b` and `Vec<T>`.
const ESCAPED_LESS_THAN: char = '\u{fdd2}';

/// A query in the syntax of `websearch_to_tsquery`: words, "phrases", `or`, `-excluded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSearchQuery {
    #[error("a search must not be empty")]
    Empty,
    #[error("a search must have at most {MAX_QUERY_CHARS} characters")]
    TooLong,
}

impl SearchQuery {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SearchQuery {
    type Err = InvalidSearchQuery;

    fn from_str(text: &str) -> Result<Self, InvalidSearchQuery> {
        // PostgreSQL does not store NUL characters.
        let text = text.replace('\0', " ");
        let text = text.trim();
        match text.chars().count() {
            0 => Err(InvalidSearchQuery::Empty),
            1..=MAX_QUERY_CHARS => Ok(Self(text.to_owned())),
            _ => Err(InvalidSearchQuery::TooLong),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub document: DocumentId,
    pub title: String,
    pub page_from: u32,
    pub page_to: u32,
    /// The text around the matches.
    pub snippet: Vec<SnippetPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnippetPart {
    pub text: String,
    /// Whether this part matches the query.
    pub is_match: bool,
}

/// The best passages, at most [`MAX_HITS`], and whether there are more.
pub async fn search(tenant: &PgPool, query: &SearchQuery) -> sqlx::Result<(Vec<Hit>, bool)> {
    let mut transaction = begin_with_timeout(tenant, SEARCH_TIMEOUT).await?;
    // Neighboring chunks overlap, so the same words match in both: keep the best passage of each
    // page.
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
    .bind(i64::try_from(MAX_HITS + 1).unwrap_or(i64::MAX))
    .bind(format!("<{MATCH_START}{MATCH_END}{ESCAPED_LESS_THAN}"))
    .bind(MATCH_START.to_string())
    .bind(MATCH_END.to_string())
    .bind(ESCAPED_LESS_THAN.to_string())
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    let more = rows.len() > MAX_HITS;
    let hits = rows
        .iter()
        .take(MAX_HITS)
        .map(|row| {
            Ok(Hit {
                document: row.try_get("document_id")?,
                title: row.try_get("title")?,
                page_from: page(row.try_get("page_from")?),
                page_to: page(row.try_get("page_to")?),
                snippet: parts(row.try_get("snippet")?),
            })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok((hits, more))
}

fn page(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(1)
}

fn parts(marked: &str) -> Vec<SnippetPart> {
    let mut parts = Vec::new();
    for (part, is_match) in marked
        .split(MATCH_START)
        .enumerate()
        .flat_map(|(at, part)| match part.split_once(MATCH_END) {
            Some((found, rest)) if at > 0 => [(found, true), (rest, false)],
            _ => [(part, false), ("", false)],
        })
    {
        if !part.is_empty() {
            parts.push(SnippetPart {
                text: part.replace(MATCH_END, "").replace(ESCAPED_LESS_THAN, "<"),
                is_match,
            });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(text: &str, is_match: bool) -> SnippetPart {
        SnippetPart {
            text: text.to_owned(),
            is_match,
        }
    }

    #[test]
    fn markers_split_the_snippet_into_parts() {
        assert_eq!(
            parts("a \u{fdd0}b\u{fdd1} c"),
            [part("a ", false), part("b", true), part(" c", false)]
        );
        assert_eq!(
            parts("\u{fdd0}b\u{fdd1}\u{fdd0}c\u{fdd1}"),
            [part("b", true), part("c", true)]
        );
        assert_eq!(parts(""), []);
    }

    proptest! {
        #[test]
        fn only_the_markers_are_dropped(text in "[ab<>&\u{fdd0}\u{fdd1}]{0,40}") {
            let joined: String = parts(&text).into_iter().map(|part| part.text).collect();
            prop_assert_eq!(joined, text.replace([MATCH_START, MATCH_END], ""));
        }
    }

    #[test]
    fn a_query_is_neither_empty_nor_too_long() {
        assert_eq!(
            " \0 ".parse::<SearchQuery>(),
            Err(InvalidSearchQuery::Empty)
        );
        assert_eq!(
            "x".repeat(201).parse::<SearchQuery>(),
            Err(InvalidSearchQuery::TooLong)
        );
        assert_eq!(" a b ".parse::<SearchQuery>().unwrap().as_str(), "a b");
    }
}
