//! Signing in by name alone, for demonstrations: who types a name is that person. The settings refuse it on anything but loopback.

use super::users::{Claims, clean};

/// The issuer of those who only said a name.
pub const ISSUER: &str = "local";

/// The person of this name; letters' case and surrounding space make no other person. `None` if there is nothing to call them by.
pub fn claims(name: &str) -> Option<Claims> {
    let name = clean(name)?;
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
    fn a_name_is_a_person_however_it_is_typed() {
        let (one, other) = (claims("Ada  Lovelace"), claims(" ada lovelace\n"));
        let subject = |claims: &Option<Claims>| claims.as_ref().map(|c| c.subject.clone());
        assert_eq!(subject(&one), subject(&other));
        assert_eq!(
            one.and_then(|claims| claims.name).as_deref(),
            Some("Ada Lovelace")
        );
    }

    #[test]
    fn nothing_is_nobody() {
        assert_eq!(claims(" \t "), None);
    }
}
