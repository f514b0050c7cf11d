//! Errors of Neon's proxy, and of a compute's size limit, by their messages.
//!
//! Neon sends the same message with different SQLSTATEs (XX000, 28000 and 08006 within a year), so
//! the message decides before the SQLSTATE does. The messages are those of Neon's proxy as users
//! published them.

/// What a message of Neon means for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeonCondition {
    /// Passes without anyone's action.
    Passing,
    /// The proxy does not know the endpoint, which is normal for minutes after its creation.
    UnknownEndpoint,
    /// The password is wrong, or the proxy does not know the endpoint or the role yet.
    PasswordRefused,
    /// A quota of the account's plan or of the project is used up, so that no compute starts.
    QuotaExceeded,
    /// The account has too many active computes.
    ActiveComputes,
    /// The project has reached its size limit: reads work, and writes fail.
    SizeLimit,
    /// A user disabled the endpoint.
    EndpointDisabled,
    /// The project does not allow the client's address.
    AddressBlocked,
    /// The project does not allow connections of the client's network or VPC endpoint.
    NetworkBlocked,
}

/// Parts of messages in lowercase; a message has a condition if it contains all parts of its row.
/// The first row that applies decides: some passing errors mention quotas.
const MESSAGES: &[(&[&str], NeonCondition)] = &[
    (&["already has running operations"], NeonCondition::Passing),
    (&["control plane request failed"], NeonCondition::Passing),
    (
        &["endpoint is temporarily unavailable"],
        NeonCondition::Passing,
    ),
    (&["connect to compute node"], NeonCondition::Passing),
    (&["exceeded the rate limit"], NeonCondition::Passing),
    (
        &["too many connections to this endpoint"],
        NeonCondition::Passing,
    ),
    (
        &["failed to acquire permit to connect"],
        NeonCondition::Passing,
    ),
    (
        &["endpoint could not be found"],
        NeonCondition::UnknownEndpoint,
    ),
    (
        &["endpoint cannot be found"],
        NeonCondition::UnknownEndpoint,
    ),
    (
        &["password authentication failed for user"],
        NeonCondition::PasswordRefused,
    ),
    (&["project size limit"], NeonCondition::SizeLimit),
    (&["exceeded the ", " quota"], NeonCondition::QuotaExceeded),
    (
        &["exceeded the compute time for this branch"],
        NeonCondition::QuotaExceeded,
    ),
    (
        &["limit of concurrently active endpoints"],
        NeonCondition::ActiveComputes,
    ),
    (&["endpoint is disabled"], NeonCondition::EndpointDisabled),
    (
        &["endpoint has been disabled"],
        NeonCondition::EndpointDisabled,
    ),
    (
        &["ip address", "not allowed"],
        NeonCondition::AddressBlocked,
    ),
    (
        &["vpc endpoint", "not allowed"],
        NeonCondition::NetworkBlocked,
    ),
    (&["blocked network"], NeonCondition::NetworkBlocked),
];

const SIZE_LIMIT_START: &str = "could not extend file because project size limit (";
const SIZE_LIMIT_END: &str = " MB) has been exceeded";

impl NeonCondition {
    /// The condition of an error's message; `None` if the message is not one of Neon's.
    #[must_use]
    pub fn of(message: &str) -> Option<Self> {
        let message = message.to_ascii_lowercase();
        MESSAGES
            .iter()
            .find(|(parts, _)| parts.iter().all(|part| message.contains(part)))
            .map(|(_, condition)| *condition)
    }

    /// Whether the condition persists until someone changes a setting, in Neon or of the Tenant.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !matches!(
            self,
            Self::Passing | Self::UnknownEndpoint | Self::PasswordRefused
        )
    }
}

/// The limit in MiB, if this is exactly the message of a compute that has reached its project's size
/// limit. Such a message contains no value of a row.
#[must_use]
pub fn size_limit_mib(message: &str) -> Option<u64> {
    message
        .strip_prefix(SIZE_LIMIT_START)?
        .strip_suffix(SIZE_LIMIT_END)?
        .parse()
        .ok()
}

/// Messages as Neon sends them, with their conditions: examples for tests.
pub const PUBLISHED_MESSAGES: &[(&str, NeonCondition)] = &[
    (
        "Your project already has running operations. Please wait until they complete, and then try again.",
        NeonCondition::Passing,
    ),
    ("Control plane request failed", NeonCondition::Passing),
    (
        "Your endpoint is temporarily unavailable. Check your quotas and/or contact our support.",
        NeonCondition::Passing,
    ),
    ("Couldn't connect to compute node", NeonCondition::Passing),
    ("You've exceeded the rate limit", NeonCondition::Passing),
    (
        "Too many connections to this endpoint. Please try again later.",
        NeonCondition::Passing,
    ),
    (
        "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.",
        NeonCondition::Passing,
    ),
    (
        "The requested endpoint could not be found, or you don't have access to it. Please check the provided ID and try again.",
        NeonCondition::UnknownEndpoint,
    ),
    ("endpoint cannot be found", NeonCondition::UnknownEndpoint),
    (
        "password authentication failed for user 'neondb_owner'",
        NeonCondition::PasswordRefused,
    ),
    (
        "Your project has exceeded the active time quota. Upgrade your plan to increase limits.",
        NeonCondition::QuotaExceeded,
    ),
    (
        "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.",
        NeonCondition::QuotaExceeded,
    ),
    (
        "Your project has exceeded the written data quota. Upgrade your plan to increase limits.",
        NeonCondition::QuotaExceeded,
    ),
    (
        "Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.",
        NeonCondition::QuotaExceeded,
    ),
    (
        "Your project has exceeded the logical size quota. Upgrade your plan to increase limits.",
        NeonCondition::QuotaExceeded,
    ),
    (
        "You've exceeded the compute time for this branch",
        NeonCondition::QuotaExceeded,
    ),
    (
        "You have exceeded the limit of concurrently active endpoints. Please suspend some of your endpoints to connect.",
        NeonCondition::ActiveComputes,
    ),
    (
        "The endpoint is disabled. Enable it using the Neon API and retry.",
        NeonCondition::EndpointDisabled,
    ),
    (
        "The endpoint has been disabled. Enable it using the API and retry.",
        NeonCondition::EndpointDisabled,
    ),
    (
        "This IP address 192.0.2.1 is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon console.",
        NeonCondition::AddressBlocked,
    ),
    (
        "This connection is trying to access this endpoint from a blocked network.",
        NeonCondition::NetworkBlocked,
    ),
    (
        "This VPC endpoint id vpce-0a1b is not allowed to connect to this endpoint.",
        NeonCondition::NetworkBlocked,
    ),
    (
        "could not extend file because project size limit (512 MB) has been exceeded",
        NeonCondition::SizeLimit,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_message_has_its_condition() {
        for (message, condition) in PUBLISHED_MESSAGES {
            assert_eq!(NeonCondition::of(message), Some(*condition), "{message}");
        }
    }

    #[test]
    fn other_messages_have_no_condition() {
        for message in [
            "database \"app\" does not exist",
            "the database system is starting up",
            "sorry, too many clients already",
            "permission denied for schema quota",
        ] {
            assert_eq!(NeonCondition::of(message), None, "{message}");
        }
    }

    #[test]
    fn the_size_limit_is_read_from_its_exact_message_only() {
        let message = |limit: &str| format!("{SIZE_LIMIT_START}{limit}{SIZE_LIMIT_END}");
        assert_eq!(size_limit_mib(&message("512")), Some(512));
        for other in [message("a@b.c"), message(""), message("512") + " a@b.c"] {
            assert_eq!(size_limit_mib(&other), None, "{other}");
        }
    }
}
