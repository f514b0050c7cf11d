//! The settings of signing in.

use std::time::Duration;

use openidconnect::IssuerUrl;
use secrecy::SecretString;
use service_kit::settings::List;
use service_kit::settings::values as common;

use super::{DAY, EmailAddress, EmailDomain, MINUTE, values};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sign-in")]
pub struct SignIn {
    /// How users sign in: with an OpenID provider (oidc), or by entering a name (local), which is for
    /// demonstrations on the loopback interface only
    #[arg(long, value_enum, default_value = "oidc")]
    pub auth_mode: AuthMode,
    /// Issuer URL, exactly as the provider publishes it: https, or http on the loopback interface
    #[arg(long, value_name = "URL", default_value = "https://accounts.google.com", value_parser = values::issuer)]
    pub oidc_issuer: IssuerUrl,
    /// The app's client id at the provider. Its redirect URI is the public URL with /sign-in/callback
    #[arg(long, value_name = "ID", value_parser = values::word)]
    pub oidc_client_id: Option<String>,
    /// the app's client secret at the provider; without it, the app is a public OAuth client
    #[arg(long, hide = true, env = "OIDC_CLIENT_SECRET", value_parser = values::secret)]
    pub oidc_client_secret: Option<SecretString>,
    /// Who can create an account: everyone who can sign in (open), only people with an invitation link
    /// (invited), or no one (closed). The default is invited if the issuer is Google, and open otherwise
    #[arg(long, value_enum)]
    pub sign_up: Option<SignUp>,
    /// E-mail addresses of the people who can create an account without an invitation while sign-up is
    /// `invited`, separated by commas. The issuer must have verified them
    #[arg(long, value_name = "ADDRESSES", default_value = "")]
    pub first_owners: List<EmailAddress>,
    /// Domains of the e-mail addresses that can sign in, separated by commas. The issuer must have
    /// verified the address. If empty, all users can sign in, even without an address
    #[arg(long, value_name = "DOMAINS", default_value = "")]
    pub allowed_email_domains: List<EmailDomain>,
    /// How long a session lasts without requests, from 5m to 2160h
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = common::duration(5 * MINUTE..=90 * DAY))]
    pub session_idle_timeout: Duration,
    /// How long a session lasts in total, from 5m to 8760h
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = common::duration(5 * MINUTE..=365 * DAY))]
    pub session_lifetime: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    Oidc,
    Local,
}

/// Who can create an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SignUp {
    Open,
    Invited,
    Closed,
}

/// The issuer of Google accounts, which everyone can create.
const GOOGLE: &str = "https://accounts.google.com";

/// An OpenID provider, and the app's client there.
#[derive(Clone, Debug)]
pub struct OidcProvider {
    pub issuer: IssuerUrl,
    pub client_id: String,
    /// `None` for a public client.
    pub client_secret: Option<SecretString>,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLifetimes {
    pub idle: Duration,
    pub absolute: Duration,
}

impl SignIn {
    /// The OpenID provider; `None` if users sign in by entering a name.
    pub fn provider(&self) -> Option<OidcProvider> {
        match self.auth_mode {
            AuthMode::Oidc => Some(OidcProvider {
                issuer: self.oidc_issuer.clone(),
                client_id: self.oidc_client_id.clone().unwrap_or_default(),
                client_secret: self.oidc_client_secret.clone(),
            }),
            AuthMode::Local => None,
        }
    }

    pub fn sign_up(&self) -> SignUp {
        self.sign_up.unwrap_or_else(|| {
            let is_google = self.oidc_issuer.as_str().trim_end_matches('/') == GOOGLE;
            if self.auth_mode == AuthMode::Oidc && is_google {
                SignUp::Invited
            } else {
                SignUp::Open
            }
        })
    }

    pub fn session_lifetimes(&self) -> SessionLifetimes {
        SessionLifetimes {
            idle: self.session_idle_timeout,
            absolute: self.session_lifetime,
        }
    }
}
