//! SCRAM-SHA-256, both the server and the client side.
//!
//! The emulator connects to PostgreSQL without TLS, so PostgreSQL cannot offer channel binding,
//! which Neon supports and its connection strings require (`channel_binding=require`). A client
//! that uses channel binding is therefore authenticated here, and the emulator then authenticates
//! to PostgreSQL: with the role's password, or, for a role that was created with SQL, with the key
//! that the client has proved to have. A client without channel binding authenticates to PostgreSQL
//! directly.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::block_api::Block;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use pbkdf2::pbkdf2_hmac_array;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::provision::RolePassword;

/// The mechanism with channel binding.
pub(super) const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The mechanism without channel binding.
pub(super) const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The GS2 header of a client that binds to the server's certificate.
const CHANNEL_BINDING_HEADER: &str = "p=tls-server-end-point,,";
/// The GS2 header of a client without channel binding: base64 of `n,,`.
const NO_CHANNEL_BINDING: &str = "biws";
const ITERATIONS: u32 = 4_096;
/// Maximum iteration count that is accepted from a server. A larger count would block the emulator.
const MAX_ITERATIONS: u32 = 1_000_000;
const NONCE_CHARACTERS: usize = 24;
/// Maximum number of cached salted passwords.
const MAX_CACHED_PASSWORDS: usize = 4_096;

type Hash = [u8; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    #[error("invalid SCRAM-SHA-256 message")]
    Malformed,
    #[error("wrong password")]
    WrongPassword,
}

/// The hash of a password, the salt, and the iteration count.
type Salting = (Hash, Vec<u8>, u32);

/// A cache of salted passwords, which each take thousands of hash rounds to compute. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SaltedPasswords(Arc<Mutex<HashMap<Salting, Hash>>>);

impl SaltedPasswords {
    fn get(&self, password: &SecretString, salt: &[u8], iterations: u32) -> Hash {
        let password = password.expose_secret().as_bytes();
        let key = (sha256(password), salt.to_vec(), iterations);
        if let Some(salted) = self.0.lock().get(&key) {
            return *salted;
        }
        let salted = pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations);
        let mut cache = self.0.lock();
        if cache.len() >= MAX_CACHED_PASSWORDS {
            cache.clear();
        }
        cache.insert(key, salted);
        salted
    }
}

fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

fn hmac_sha256(key: &Hash, message: &[u8]) -> Hash {
    let mut block = Block::<Sha256>::default();
    block[..key.len()].copy_from_slice(key);
    Hmac::<Sha256>::new(&block)
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

fn xor(mut one: Hash, other: Hash) -> Hash {
    one.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
    one
}

/// The key that proves that a client knows the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientKey(Hash);

impl ClientKey {
    fn of(salted: &Hash) -> Self {
        Self(hmac_sha256(salted, b"Client Key"))
    }

    fn proof(self, auth_message: &str) -> Hash {
        let signature = hmac_sha256(&sha256(&self.0), auth_message.as_bytes());
        xor(self.0, signature)
    }
}

/// What a server knows of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Hash,
    server_key: Hash,
}

impl Verifier {
    fn of(password: &SecretString, passwords: &SaltedPasswords) -> Self {
        // A salt per password instead of per exchange keeps the cache effective.
        let salt = sha256(&sha256(password.expose_secret().as_bytes()))[..16].to_vec();
        let salted = passwords.get(password, &salt, ITERATIONS);
        Self {
            salt,
            iterations: ITERATIONS,
            stored_key: sha256(&ClientKey::of(&salted).0),
            server_key: hmac_sha256(&salted, b"Server Key"),
        }
    }

    /// Reads what PostgreSQL stores: `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`.
    pub(crate) fn parse(stored: &str) -> Option<Self> {
        let mut parts = stored.split('$');
        if parts.next()? != SCRAM_SHA_256 {
            return None;
        }
        let (iterations, salt) = parts.next()?.split_once(':')?;
        let (stored_key, server_key) = parts.next()?.split_once(':')?;
        let key = |text: &str| Hash::try_from(BASE64.decode(text).ok()?).ok();
        Some(Self {
            salt: BASE64.decode(salt).ok()?,
            iterations: iterations.parse().ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// The client's key, if this is its proof.
    fn verify(&self, proof: Hash, auth_message: &str) -> Option<ClientKey> {
        let signature = hmac_sha256(&self.stored_key, auth_message.as_bytes());
        let key = xor(proof, signature);
        (sha256(&key) == self.stored_key).then_some(ClientKey(key))
    }
}

/// With what the data plane authenticates the clients of a role.
#[derive(Clone)]
pub(crate) enum RoleSecret {
    /// The password of a role that the API created.
    Password(SecretString),
    /// Of a role that was created with SQL, whose password only PostgreSQL knows.
    Verifier(Verifier),
}

impl RoleSecret {
    /// `None` if PostgreSQL does not store the password for SCRAM.
    pub(super) fn of(password: &RolePassword) -> Option<Self> {
        match password {
            RolePassword::Known(password) => Some(Self::Password(password.clone())),
            RolePassword::Stored(stored) => {
                Verifier::parse(stored.expose_secret()).map(Self::Verifier)
            }
        }
    }
}

impl std::fmt::Debug for RoleSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoleSecret")
    }
}

fn attribute<'a>(message: &'a str, name: &str) -> Result<&'a str, ScramError> {
    message
        .split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        .ok_or(ScramError::Malformed)
}

fn nonce() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), NONCE_CHARACTERS)
}

/// The server side, after the client's first message.
pub(super) struct Server {
    /// The client's first message without the GS2 header, and the response to it.
    client_first_bare: String,
    response: String,
    nonce: String,
    binding: Vec<u8>,
    verifier: Verifier,
}

impl Server {
    /// Reads the first message of a client that binds to a certificate.
    pub(super) fn begin(
        client_first: &str,
        certificate: &[u8],
        secret: &RoleSecret,
        passwords: &SaltedPasswords,
    ) -> Result<Self, ScramError> {
        let verifier = match secret {
            RoleSecret::Password(password) => Verifier::of(password, passwords),
            RoleSecret::Verifier(verifier) => verifier.clone(),
        };
        let client_first = client_first
            .strip_prefix(CHANNEL_BINDING_HEADER)
            .ok_or(ScramError::Malformed)?;
        let nonce = format!("{}{}", attribute(client_first, "r")?, nonce());
        let salt = BASE64.encode(&verifier.salt);
        let binding = [CHANNEL_BINDING_HEADER.as_bytes(), &sha256(certificate)].concat();
        Ok(Self {
            response: format!("r={nonce},s={salt},i={}", verifier.iterations),
            client_first_bare: client_first.to_owned(),
            nonce,
            binding,
            verifier,
        })
    }

    pub(super) fn first(&self) -> &str {
        &self.response
    }

    /// Verifies the client's final message. Returns the server's, and the client's key.
    pub(super) fn finish(&self, client_final: &str) -> Result<(String, ClientKey), ScramError> {
        let (without_proof, proof) = client_final
            .rsplit_once(",p=")
            .ok_or(ScramError::Malformed)?;
        let bound = BASE64
            .decode(attribute(without_proof, "c")?)
            .map_err(|_| ScramError::Malformed)?;
        if bound != self.binding || attribute(without_proof, "r")? != self.nonce {
            return Err(ScramError::Malformed);
        }
        let auth_message = format!(
            "{},{},{without_proof}",
            self.client_first_bare, self.response
        );
        let proof = BASE64.decode(proof).map_err(|_| ScramError::Malformed)?;
        let proof = Hash::try_from(proof).map_err(|_| ScramError::Malformed)?;
        let key = self.verifier.verify(proof, &auth_message);
        let key = key.ok_or(ScramError::WrongPassword)?;
        let signature = hmac_sha256(&self.verifier.server_key, auth_message.as_bytes());
        Ok((format!("v={}", BASE64.encode(signature)), key))
    }
}

/// The client side, without channel binding.
pub(super) struct Client {
    first: String,
}

impl Client {
    pub(super) fn begin() -> Self {
        Self {
            first: format!("n=,r={}", nonce()),
        }
    }

    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The final message, given the server's first message. `key` is the key of the client that is
    /// authenticated on behalf of, if the server has the same verifier.
    pub(super) fn finish(
        &self,
        server_first: &str,
        secret: &RoleSecret,
        key: ClientKey,
        passwords: &SaltedPasswords,
    ) -> Result<String, ScramError> {
        let key = match secret {
            RoleSecret::Password(password) => {
                ClientKey::of(&salted(server_first, password, passwords)?)
            }
            RoleSecret::Verifier(_) => key,
        };
        let without_proof = format!("c={NO_CHANNEL_BINDING},r={}", attribute(server_first, "r")?);
        let auth_message = format!("{},{server_first},{without_proof}", self.first);
        let proof = key.proof(&auth_message);
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }
}

/// The password, salted as the server demands.
fn salted(
    server_first: &str,
    password: &SecretString,
    passwords: &SaltedPasswords,
) -> Result<Hash, ScramError> {
    let iterations: u32 = attribute(server_first, "i")?
        .parse()
        .map_err(|_| ScramError::Malformed)?;
    if iterations > MAX_ITERATIONS {
        return Err(ScramError::Malformed);
    }
    let salt = BASE64
        .decode(attribute(server_first, "s")?)
        .map_err(|_| ScramError::Malformed)?;
    Ok(passwords.get(password, &salt, iterations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_match_rfc_7677() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = pbkdf2_hmac_array::<Sha256, 32>(b"pencil", &salt, 4_096);
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = ClientKey::of(&salted);
        assert_eq!(
            BASE64.encode(key.proof(auth_message)),
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        // As PostgreSQL stores it.
        let verifier = Verifier::parse(
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        )
        .unwrap();
        assert!(verifier.verify(key.proof(auth_message), auth_message) == Some(key));
        assert!(verifier.verify(key.0, auth_message).is_none());
        assert_eq!(
            BASE64.encode(hmac_sha256(&verifier.server_key, auth_message.as_bytes())),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert!(Verifier::parse("md5abc").is_none());
    }

    #[test]
    fn a_client_with_another_certificate_or_another_password_is_rejected() {
        let (passwords, password) = (SaltedPasswords::default(), SecretString::from("npg_x"));
        let authenticate = |certificate: &[u8], client_password: &SecretString| {
            let server = Server::begin(
                "p=tls-server-end-point,,n=,r=abc",
                b"cert",
                &RoleSecret::Password(password.clone()),
                &passwords,
            )?;
            let bound = [CHANNEL_BINDING_HEADER.as_bytes(), &sha256(certificate)].concat();
            let without_proof = format!(
                "c={},r={}",
                BASE64.encode(bound),
                attribute(server.first(), "r")?
            );
            let salt = BASE64.decode(attribute(server.first(), "s")?).unwrap();
            let auth_message = format!("n=,r=abc,{},{without_proof}", server.first());
            let salted = passwords.get(client_password, &salt, ITERATIONS);
            let proof = ClientKey::of(&salted).proof(&auth_message);
            let finished = server.finish(&format!("{without_proof},p={}", BASE64.encode(proof)));
            finished.map(|(server_final, _)| server_final)
        };
        assert!(authenticate(b"cert", &password).unwrap().starts_with("v="));
        assert_eq!(
            authenticate(b"other", &password),
            Err(ScramError::Malformed)
        );
        let wrong = SecretString::from("npg_y");
        assert_eq!(
            authenticate(b"cert", &wrong),
            Err(ScramError::WrongPassword)
        );
    }
}
