//! Sessions on the server: found by the hash of the token that the cookie holds, ended by deleting their row.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::{CsrfToken, Token, User};
use crate::config;
use crate::ids::{SessionId, UserId};

/// How long a session's last request may be unrecorded: one write for many requests.
const SEEN_GRAIN: Duration = Duration::from_mins(1);
/// Longest `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 400;
/// Sessions of one user that are listed at most.
const LISTED_MAX: i64 = 100;

/// A request's session: who asks, and what their forms have to bring.
#[derive(Clone, Debug)]
pub struct Session {
    /// As the account page names it.
    pub id: SessionId,
    /// Who asks.
    pub user: User,
    /// What their forms have to bring.
    pub csrf: CsrfToken,
}

/// A session as the account page lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Names it.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// What the browser calls itself.
    pub user_agent: String,
}

/// Begins a session and answers its token, which is nowhere else.
pub async fn create(
    executor: impl PgExecutor<'_>,
    user: UserId,
    user_agent: &str,
    lifetimes: config::Sessions,
) -> Result<Token, sqlx::Error> {
    let token = Token::random();
    let user_agent: String = user_agent
        .chars()
        .filter(|c| !c.is_control())
        .take(USER_AGENT_CHARS_MAX)
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
struct Found {
    id: Uuid,
    user_id: Uuid,
    display_name: String,
    email: Option<String>,
    email_verified: bool,
    unrecorded: bool,
}

/// The session of a token, if it is still good: neither over nor idle for too long, and its user not leaving.
pub async fn find(
    database: &PgPool,
    token: &Token,
    lifetimes: config::Sessions,
) -> Result<Option<Session>, sqlx::Error> {
    let found: Option<Found> = sqlx::query_as(
        "SELECT s.id, s.user_id, u.display_name, u.email, u.email_verified,
                s.last_seen_at < now() - make_interval(secs => $3) AS unrecorded
         FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.token_sha256 = $1 AND s.expires_at > now()
           AND s.last_seen_at > now() - make_interval(secs => $2) AND u.deleting_since IS NULL",
    )
    .bind(token.hash().as_bytes())
    .bind(lifetimes.idle.as_secs_f64())
    .bind(SEEN_GRAIN.as_secs_f64())
    .fetch_optional(database)
    .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    if found.unrecorded {
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

/// Whether a session was not ended: for answers that are longer than the look at it with which they began, which counted as its use.
pub async fn is_active(database: &PgPool, id: SessionId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND expires_at > now())")
        .bind(id.0)
        .fetch_one(database)
        .await
}

/// Ends the session of a token, if there is one.
pub async fn delete(executor: impl PgExecutor<'_>, token: &Token) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sessions WHERE token_sha256 = $1")
        .bind(token.hash().as_bytes())
        .execute(executor)
        .await
        .map(drop)
}

/// Ends one session of a user; says whether there was such a one.
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

/// Ends all sessions of a user and says how many there were.
pub async fn revoke_all(executor: impl PgExecutor<'_>, user: UserId) -> Result<u64, sqlx::Error> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.0)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
}

/// The good sessions of a user, the last used first.
pub async fn of_user(
    database: &PgPool,
    user: UserId,
    lifetimes: config::Sessions,
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
    .bind(LISTED_MAX)
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

/// Deletes sessions that are over or were idle for too long, and sign-ins that nobody finished. Answers how many rows went.
pub async fn sweep(database: &PgPool, lifetimes: config::Sessions) -> Result<u64, sqlx::Error> {
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
