//! Who may sign in, and who may create an account. The settings decide, from the claims of the
//! provider and the invitation that the person follows.

use super::Token;
use super::users::Claims;
use crate::config::{EmailAddress, EmailDomain, SignIn, SignUp};

/// What allows a person to create an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Sign-up is open, or the settings name the person's address.
    Unconditional,
    /// The invitation with this token, which the sign-up has to accept, so that an invitation
    /// creates one account.
    Invitation(Token),
}

/// Why a person may not sign in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignUpError {
    #[error("the e-mail address is missing or not verified")]
    UnverifiedEmail { allowed: Vec<EmailDomain> },
    #[error("the domain of the e-mail address is not allowed")]
    EmailDomain { allowed: Vec<EmailDomain> },
    #[error("sign-up requires an invitation")]
    InvitationRequired,
    #[error("the invitation is no longer valid")]
    InvalidInvitation,
    #[error("the workspace of the invitation has the maximum number of members")]
    WorkspaceFull,
    #[error("sign-up is closed")]
    Closed,
    #[error("the maximum number of workspaces is reached")]
    NoWorkspaceLeft,
}

/// Checks the address against the allowed domains. `verified` is what the provider said of the
/// address at the last sign-in.
pub fn check_email(
    settings: &SignIn,
    email: Option<&str>,
    verified: bool,
) -> Result<(), SignUpError> {
    let allowed = &settings.allowed_email_domains.0;
    if allowed.is_empty() {
        return Ok(());
    }
    match verified_email(email, verified) {
        Some(email) if allowed.contains(email.domain()) => Ok(()),
        Some(_) => Err(SignUpError::EmailDomain {
            allowed: allowed.clone(),
        }),
        None => Err(SignUpError::UnverifiedEmail {
            allowed: allowed.clone(),
        }),
    }
}

/// Whether a person without an account may create one. `invitation` is the token of the link that
/// the person follows; the caller checks whether it is valid.
pub fn admit(
    settings: &SignIn,
    claims: &Claims,
    invitation: Option<Token>,
) -> Result<Admission, SignUpError> {
    match settings.sign_up() {
        SignUp::Open => Ok(Admission::Unconditional),
        SignUp::Closed => Err(SignUpError::Closed),
        SignUp::Invited => {
            let is_first_owner = verified_email(claims.email.as_deref(), claims.email_verified)
                .is_some_and(|email| settings.first_owners.0.contains(&email));
            match invitation {
                _ if is_first_owner => Ok(Admission::Unconditional),
                Some(token) => Ok(Admission::Invitation(token)),
                None => Err(SignUpError::InvitationRequired),
            }
        }
    }
}

/// The address, if the provider has verified it.
fn verified_email(email: Option<&str>, verified: bool) -> Option<EmailAddress> {
    email.filter(|_| verified)?.parse().ok()
}
