//! Signing in by name without authentication, for demonstrations. The settings allow it on loopback
//! only.

use super::users::{Claims, clean_name};

/// The issuer of local identities.
pub const ISSUER: &str = "local";

/// The claims for a name. Case and white space do not distinguish users. `None` if the name is
/// empty.
pub fn claims(name: &str) -> Option<Claims> {
    let name = clean_name(name)?;
    Some(Claims {
        issuer: ISSUER.to_owned(),
        subject: name.to_lowercase(),
        name: Some(name),
        email: None,
        email_verified: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_white_space_do_not_distinguish_users() {
        let (one, other) = (claims("Ada  Lovelace"), claims(" ada lovelace\n"));
        let subject = |claims: &Option<Claims>| claims.as_ref().map(|c| c.subject.clone());
        assert_eq!(subject(&one), subject(&other));
        assert_eq!(
            one.and_then(|claims| claims.name).as_deref(),
            Some("Ada Lovelace")
        );
    }

    #[test]
    fn an_empty_name_is_rejected() {
        assert_eq!(claims(" \t "), None);
    }
}
