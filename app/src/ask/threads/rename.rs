//! Renames conversations.

use std::str::FromStr;

use sqlx::PgPool;

use crate::ids::ThreadId;

/// As in the schema.
pub const MAX_TITLE_CHARS: usize = 200;

/// The title of a conversation: one line of 1 to [`MAX_TITLE_CHARS`] characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadTitle(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the title of a conversation must have 1 to {MAX_TITLE_CHARS} characters")]
pub struct InvalidThreadTitle;

impl FromStr for ThreadTitle {
    type Err = InvalidThreadTitle;

    fn from_str(text: &str) -> Result<Self, InvalidThreadTitle> {
        let is_gap = |character: char| character.is_whitespace() || character.is_control();
        let words: Vec<&str> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
        let title = words.join(" ");
        match title.chars().count() {
            1..=MAX_TITLE_CHARS => Ok(Self(title)),
            _ => Err(InvalidThreadTitle),
        }
    }
}

/// Renames a conversation, without moving it in the list. Returns whether it exists.
pub async fn rename(
    database: &PgPool,
    thread: ThreadId,
    title: &ThreadTitle,
) -> Result<bool, sqlx::Error> {
    let renamed = sqlx::query("UPDATE threads SET title = $2 WHERE id = $1")
        .bind(thread.0)
        .bind(&title.0)
        .execute(database)
        .await?;
    Ok(renamed.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_limited_length() {
        let title = |text: &str| text.parse::<ThreadTitle>().map(|title| title.0);
        assert_eq!(
            title(" Rent\n\0and  heating "),
            Ok("Rent and heating".to_owned())
        );
        assert_eq!(title(" \n\0"), Err(InvalidThreadTitle));
        assert!(title(&"\u{e9}".repeat(MAX_TITLE_CHARS)).is_ok());
        assert_eq!(
            title(&"a".repeat(MAX_TITLE_CHARS + 1)),
            Err(InvalidThreadTitle)
        );
    }
}
