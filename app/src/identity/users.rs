//! Users, and how claims of an issuer map to them.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::ids::UserId;

const MAX_DISPLAY_NAME_CHARS: usize = 200;
const MAX_EMAIL_CHARS: usize = 320;
/// The display name of users without a name and an e-mail address.
const DEFAULT_NAME: &str = "New user";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub display_name: String,
    /// From the issuer. For display, never to identify the user.
    pub email: Option<String>,
    /// Whether the issuer has verified the address.
    pub email_verified: bool,
}

/// Claims of an issuer about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    /// The issuer's id of the user, which it never reassigns.
    pub subject: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub email_verified: bool,
}

impl Claims {
    /// The cleaned name, or the local part of the e-mail address.
    fn display_name(&self) -> String {
        let from_email = || Some(self.email.as_deref()?.split('@').next()?.to_owned());
        self.name
            .as_deref()
            .and_then(clean_name)
            .or_else(|| from_email().as_deref().and_then(clean_name))
            .unwrap_or_else(|| DEFAULT_NAME.to_owned())
    }

    fn valid_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|email| {
            !email.is_empty()
                && email.chars().count() <= MAX_EMAIL_CHARS
                && !email.chars().any(char::is_control)
        })
    }
}

/// Removes control characters and repeated spaces, and truncates the name. `None` if nothing is
/// left.
pub fn clean_name(name: &str) -> Option<String> {
    let visible: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let name: String = words
        .join(" ")
        .chars()
        .take(MAX_DISPLAY_NAME_CHARS)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInUser {
    pub user: User,
    /// Whether this is the first sign-in of the user.
    pub is_new: bool,
    /// Whether the account is being deleted, which rejects the sign-in.
    pub is_being_deleted: bool,
}

/// Finds or creates the user for the claims and updates name and e-mail address. Concurrent first
/// sign-ins create one user.
pub async fn upsert_user(
    connection: &mut PgConnection,
    claims: &Claims,
) -> Result<SignedInUser, sqlx::Error> {
    // Serializes concurrent first sign-ins of one identity.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("identity:{}\n{}", claims.issuer, claims.subject))
        .execute(&mut *connection)
        .await?;
    let known: Option<(uuid::Uuid,)> =
        sqlx::query_as("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(&claims.issuer)
            .bind(&claims.subject)
            .fetch_optional(&mut *connection)
            .await?;
    let user = User {
        id: known.map_or_else(UserId::random, |(id,)| UserId(id)),
        display_name: claims.display_name(),
        email: claims.valid_email().map(ToOwned::to_owned),
        email_verified: claims.email_verified,
    };
    let (is_being_deleted,): (bool,) = sqlx::query_as(
        "INSERT INTO users (id, display_name, email, email_verified) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET display_name = EXCLUDED.display_name, email = EXCLUDED.email,
             email_verified = EXCLUDED.email_verified
         RETURNING deleting_since IS NOT NULL",
    )
    .bind(user.id.0)
    .bind(&user.display_name)
    .bind(&user.email)
    .bind(user.email_verified)
    .fetch_one(&mut *connection)
    .await?;
    let is_new = known.is_none();
    if is_new {
        sqlx::query("INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3)")
            .bind(&claims.issuer)
            .bind(&claims.subject)
            .bind(user.id.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(SignedInUser {
        user,
        is_new,
        is_being_deleted,
    })
}

/// Details of a user for the account page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Pairs of issuer and subject.
    pub identities: Vec<(String, String)>,
    pub created_at: Timestamp,
}

pub async fn profile(database: &PgPool, user: UserId) -> Result<Profile, sqlx::Error> {
    let identities = sqlx::query_as(
        "SELECT issuer, subject FROM identities WHERE user_id = $1 ORDER BY created_at, issuer",
    )
    .bind(user.0)
    .fetch_all(database)
    .await?;
    let (created_ms,): (i64,) = sqlx::query_as(
        "SELECT (extract(epoch FROM created_at) * 1000)::bigint FROM users WHERE id = $1",
    )
    .bind(user.0)
    .fetch_one(database)
    .await?;
    Ok(Profile {
        identities,
        created_at: Timestamp::from_millisecond(created_ms).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(name: Option<&str>, email: Option<&str>) -> Claims {
        Claims {
            issuer: "https://issuer.example".to_owned(),
            subject: "1".to_owned(),
            name: name.map(ToOwned::to_owned),
            email: email.map(ToOwned::to_owned),
            email_verified: false,
        }
    }

    #[test]
    fn the_display_name_falls_back_to_the_address_and_then_to_a_default() {
        let ada = Some("ada@example.com");
        assert_eq!(
            claims(Some(" Ada\n Lovelace "), ada).display_name(),
            "Ada Lovelace"
        );
        assert_eq!(claims(Some(" \u{7} "), ada).display_name(), "ada");
        assert_eq!(claims(None, None).display_name(), DEFAULT_NAME);
        let long = "n".repeat(1000);
        assert_eq!(
            claims(Some(&long), None).display_name().len(),
            MAX_DISPLAY_NAME_CHARS
        );
    }

    #[test]
    fn invalid_addresses_are_ignored() {
        let long = format!("{}@example.com", "a".repeat(MAX_EMAIL_CHARS));
        assert_eq!(claims(None, Some(&long)).valid_email(), None);
        assert_eq!(claims(None, Some("a\0@example.com")).valid_email(), None);
        assert_eq!(
            claims(None, Some("a@example.com")).valid_email(),
            Some("a@example.com")
        );
    }
}
