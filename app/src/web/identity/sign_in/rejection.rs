//! What users read if the settings do not allow them to sign in.

use crate::config::EmailDomain;
use crate::identity::sign_up::SignUpError;
use crate::identity::users::Claims;

/// Upper bound of the domains that a message lists.
const MAX_LISTED_DOMAINS: usize = 5;

pub(super) fn message(error: &SignUpError, claims: &Claims) -> String {
    match error {
        SignUpError::EmailDomain { allowed } => {
            let address = claims.email.as_deref().unwrap_or("this account");
            format!(
                "You can\u{2019}t sign in here with {address}. Sign in with an account whose email address ends in {}, or ask your administrator for access.",
                list(allowed)
            )
        }
        SignUpError::UnverifiedEmail { allowed } => format!(
            "The sign-in provider hasn\u{2019}t verified an email address of your account, so you weren\u{2019}t signed in. Verify an address that ends in {} there, and sign in again.",
            list(allowed)
        ),
        SignUpError::InvitationRequired => {
            "You need an invitation to create an account here, so no account was created. Ask a member of the workspace that you want to join for an invitation link, open the link, and sign in from there.".to_owned()
        }
        SignUpError::InvalidInvitation => {
            "This invitation is no longer valid, so no account was created. It may have expired, been revoked, or already been used. Ask the person who sent it for a new link.".to_owned()
        }
        SignUpError::WorkspaceFull => {
            "The workspace that you were invited to has reached its limit of members, so no account was created. Ask the person who invited you to remove a member, and open the link again.".to_owned()
        }
        SignUpError::Closed => {
            "New accounts can\u{2019}t be created here, so no account was created. If you already have one, sign in with the account that you used before. Otherwise, contact your administrator.".to_owned()
        }
        SignUpError::NoWorkspaceLeft => {
            "This site has reached its maximum number of workspaces, so no account was created. Try again later, or contact your administrator. With an invitation link, you can join an existing workspace.".to_owned()
        }
    }
}

/// The domains as text, such as `@a.example, @b.example or @c.example`.
fn list(domains: &[EmailDomain]) -> String {
    let mut shown: Vec<String> = domains
        .iter()
        .take(MAX_LISTED_DOMAINS)
        .map(|domain| format!("@{domain}"))
        .collect();
    if domains.len() > MAX_LISTED_DOMAINS {
        shown.push("another allowed domain".to_owned());
    }
    match shown.pop() {
        Some(last) if !shown.is_empty() => format!("{} or {last}", shown.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_listed_up_to_a_limit() {
        let domains = |count: usize| -> Vec<EmailDomain> {
            (1..=count)
                .map(|n| format!("d{n}.example").parse().expect("a domain"))
                .collect()
        };
        assert_eq!(list(&domains(1)), "@d1.example");
        assert_eq!(list(&domains(2)), "@d1.example or @d2.example");
        assert_eq!(
            list(&domains(9)),
            "@d1.example, @d2.example, @d3.example, @d4.example, @d5.example or another allowed domain"
        );
    }
}
