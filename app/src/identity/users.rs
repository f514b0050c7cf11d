//! Users, and how an issuer's word becomes one.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::ids::UserId;

/// Longest name that is kept, in characters.
const DISPLAY_NAME_CHARS_MAX: usize = 200;
/// Longest e-mail address that is kept, in characters.
const EMAIL_CHARS_MAX: usize = 320;
/// What somebody is called whose issuer says no name.
const NAMELESS: &str = "New user";

/// A person who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// As people read it.
    pub display_name: String,
    /// As the issuer said it; shown, and trusted for nothing.
    pub email: Option<String>,
    /// Whether the issuer says that the address is theirs.
    pub email_verified: bool,
}

/// What an issuer says of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The issuer.
    pub issuer: String,
    /// Its name for them, never given to anybody else.
    pub subject: String,
    /// What people call them.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Whether the issuer has seen that it is theirs.
    pub email_verified: bool,
}

impl Claims {
    /// The name to show: what the issuer says, cleaned, or what the address begins with.
    fn display_name(&self) -> String {
        let from_email = || Some(self.email.as_deref()?.split('@').next()?.to_owned());
        self.name
            .as_deref()
            .and_then(clean)
            .or_else(|| from_email().as_deref().and_then(clean))
            .unwrap_or_else(|| NAMELESS.to_owned())
    }

    fn kept_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|email| {
            !email.is_empty()
                && email.chars().count() <= EMAIL_CHARS_MAX
                && !email.chars().any(char::is_control)
        })
    }
}

/// A name without control characters and doubled spaces, cut to what is kept; `None` if nothing is left.
pub fn clean(name: &str) -> Option<String> {
    let visible: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let name: String = words
        .join(" ")
        .chars()
        .take(DISPLAY_NAME_CHARS_MAX)
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInUser {
    /// Who.
    pub user: User,
    /// Whether this is their first time.
    pub is_new: bool,
    /// Whether their account is being removed: they are not let in any more.
    pub is_being_deleted: bool,
}

/// The user whom these claims mean, made if need be; name and address are kept up to date. Whoever signs in twice at once is one user.
pub async fn upsert_user(
    connection: &mut PgConnection,
    claims: &Claims,
) -> Result<SignedInUser, sqlx::Error> {
    // Two first sign-ins of one person wait for each other here.
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
        email: claims.kept_email().map(ToOwned::to_owned),
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

/// What the account page tells besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Issuers and their names for the person.
    pub identities: Vec<(String, String)>,
    /// Since when the account is there.
    pub created_at: Timestamp,
}

/// The facts of a user.
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
    fn a_person_is_called_by_name_else_by_their_address_else_by_nothing_of_theirs() {
        let ada = Some("ada@example.com");
        assert_eq!(
            claims(Some(" Ada\n Lovelace "), ada).display_name(),
            "Ada Lovelace"
        );
        assert_eq!(claims(Some(" \u{7} "), ada).display_name(), "ada");
        assert_eq!(claims(None, None).display_name(), NAMELESS);
        let long = "n".repeat(1000);
        assert_eq!(
            claims(Some(&long), None).display_name().len(),
            DISPLAY_NAME_CHARS_MAX
        );
    }

    #[test]
    fn addresses_that_no_column_takes_are_left_out() {
        let long = format!("{}@example.com", "a".repeat(EMAIL_CHARS_MAX));
        assert_eq!(claims(None, Some(&long)).kept_email(), None);
        assert_eq!(claims(None, Some("a\0@example.com")).kept_email(), None);
        assert_eq!(
            claims(None, Some("a@example.com")).kept_email(),
            Some("a@example.com")
        );
    }
}
