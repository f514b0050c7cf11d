//! Sessions. A session is found by the hash of its cookie's token, and ends when its row is
//! deleted.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::{CsrfToken, Token, User, sign_up};
use crate::config;
use crate::ids::{SessionId, UserId};

/// `last_seen_at` is updated at most once per interval.
const LAST_SEEN_INTERVAL: Duration = Duration::from_mins(1);
const MAX_USER_AGENT_CHARS: usize = 400;
/// Upper bound of the sessions that [`of_user`] returns.
const MAX_LISTED: i64 = 100;

/// The session of a request.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub user: User,
    pub csrf: CsrfToken,
}

/// A session in the list of the account page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    pub created_at: Timestamp,
    /// Accurate to one minute.
    pub last_seen_at: Timestamp,
    pub user_agent: String,
}

/// Creates a session and returns its token. Only the hash of the token is stored.
pub async fn create(
    executor: impl PgExecutor<'_>,
    user: UserId,
    user_agent: &str,
    lifetimes: config::SessionLifetimes,
) -> Result<Token, sqlx::Error> {
    let token = Token::random();
    let user_agent: String = user_agent
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_USER_AGENT_CHARS)
        .collect();
    sqlx::query(
        "INSERT INTO sessions (token_sha256, id, user_id, expires_at, user_agent)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5)",
    )
    .bind(token.hash().as_bytes())
    .bind(SessionId::random().0)
    .bind(user.0)
    .bind(lifetimes.absolute.as_secs_f64())
    .bind(user_agent)
    .execute(executor)
    .await?;
    Ok(token)
}

#[derive(sqlx::FromRow)]
struct FoundSession {
    id: Uuid,
    user_id: Uuid,
    display_name: String,
    email: Option<String>,
    email_verified: bool,
    last_seen_is_stale: bool,
}

/// The session of a token, unless it has expired, was idle for too long, its user is being deleted,
/// or the settings no longer allow the domain of the user's e-mail address.
pub async fn find(
    database: &PgPool,
    token: &Token,
    settings: &config::SignIn,
) -> Result<Option<Session>, sqlx::Error> {
    let found: Option<FoundSession> = sqlx::query_as(
        "SELECT s.id, s.user_id, u.display_name, u.email, u.email_verified,
                s.last_seen_at < now() - make_interval(secs => $3) AS last_seen_is_stale
         FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.token_sha256 = $1 AND s.expires_at > now()
           AND s.last_seen_at > now() - make_interval(secs => $2) AND u.deleting_since IS NULL",
    )
    .bind(token.hash().as_bytes())
    .bind(settings.session_idle_timeout.as_secs_f64())
    .bind(LAST_SEEN_INTERVAL.as_secs_f64())
    .fetch_optional(database)
    .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    if sign_up::check_email(settings, found.email.as_deref(), found.email_verified).is_err() {
        return Ok(None);
    }
    if found.last_seen_is_stale {
        sqlx::query("UPDATE sessions SET last_seen_at = now() WHERE id = $1")
            .bind(found.id)
            .execute(database)
            .await?;
    }
    Ok(Some(Session {
        id: SessionId(found.id),
        user: User {
            id: UserId(found.user_id),
            display_name: found.display_name,
            email: found.email,
            email_verified: found.email_verified,
        },
        csrf: token.csrf(),
    }))
}

/// Whether the session still exists, for responses that outlast the initial check.
pub async fn is_active(database: &PgPool, id: SessionId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND expires_at > now())")
        .bind(id.0)
        .fetch_one(database)
        .await
}

/// Ends the session of a token.
pub async fn delete(executor: impl PgExecutor<'_>, token: &Token) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sessions WHERE token_sha256 = $1")
        .bind(token.hash().as_bytes())
        .execute(executor)
        .await
        .map(drop)
}

/// Ends a session of the user. Returns whether it existed.
pub async fn revoke(
    executor: impl PgExecutor<'_>,
    user: UserId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND id = $2")
        .bind(user.0)
        .bind(session.0)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all sessions of the user. Returns their number.
pub async fn revoke_all(executor: impl PgExecutor<'_>, user: UserId) -> Result<u64, sqlx::Error> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.0)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
}

/// The active sessions of the user, the most recently used first.
pub async fn of_user(
    database: &PgPool,
    user: UserId,
    lifetimes: config::SessionLifetimes,
) -> Result<Vec<SessionRow>, sqlx::Error> {
    let rows: Vec<(Uuid, i64, i64, String)> = sqlx::query_as(
        "SELECT id, (extract(epoch FROM created_at) * 1000)::bigint,
                (extract(epoch FROM last_seen_at) * 1000)::bigint, user_agent
         FROM sessions
         WHERE user_id = $1 AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $2)
         ORDER BY last_seen_at DESC, id LIMIT $3",
    )
    .bind(user.0)
    .bind(lifetimes.idle.as_secs_f64())
    .bind(MAX_LISTED)
    .fetch_all(database)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, created_ms, seen_ms, user_agent)| SessionRow {
            id: SessionId(id),
            created_at: Timestamp::from_millisecond(created_ms).unwrap_or_default(),
            last_seen_at: Timestamp::from_millisecond(seen_ms).unwrap_or_default(),
            user_agent,
        })
        .collect())
}

/// Deletes expired and idle sessions and expired sign-ins. Returns the number of deleted rows.
pub async fn sweep(
    database: &PgPool,
    lifetimes: config::SessionLifetimes,
) -> Result<u64, sqlx::Error> {
    let sessions = sqlx::query(
        "DELETE FROM sessions
         WHERE expires_at <= now() OR last_seen_at <= now() - make_interval(secs => $1)",
    )
    .bind(lifetimes.idle.as_secs_f64())
    .execute(database)
    .await?;
    let sign_ins = sqlx::query("DELETE FROM sign_ins WHERE expires_at <= now()")
        .execute(database)
        .await?;
    Ok(sessions.rows_affected() + sign_ins.rows_affected())
}
