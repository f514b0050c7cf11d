//! Generates IDs and passwords in Neon's formats.

use neon_client::ids::{BranchId, EndpointId, ParseIdError, ProjectId};
use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};
use rand::seq::IndexedRandom;

/// Number of random characters of a password, after its prefix.
const PASSWORD_CHARACTERS: usize = 20;

const ADJECTIVES: &[&str] = &[
    "amber",
    "ancient",
    "autumn",
    "bold",
    "bright",
    "broad",
    "calm",
    "clear",
    "cold",
    "cool",
    "crimson",
    "curly",
    "damp",
    "dark",
    "dawn",
    "deep",
    "dry",
    "early",
    "empty",
    "falling",
    "fancy",
    "flat",
    "floral",
    "fragrant",
    "frosty",
    "gentle",
    "green",
    "hidden",
    "holy",
    "icy",
    "jolly",
    "late",
    "lively",
    "long",
    "lucky",
    "misty",
    "morning",
    "muddy",
    "noisy",
    "odd",
    "old",
    "orange",
    "patient",
    "plain",
    "polished",
    "proud",
    "purple",
    "quiet",
    "rapid",
    "red",
    "restless",
    "rough",
    "round",
    "royal",
    "shiny",
    "silent",
    "small",
    "snowy",
    "soft",
    "solitary",
    "sparkling",
    "spring",
    "square",
    "steep",
    "still",
    "summer",
    "sweet",
    "tiny",
    "twilight",
    "wandering",
    "weathered",
    "white",
    "wild",
    "winter",
    "wispy",
    "withered",
    "yellow",
    "young",
];
const NOUNS: &[&str] = &[
    "art",
    "band",
    "bar",
    "base",
    "bird",
    "block",
    "boat",
    "bonus",
    "bread",
    "breeze",
    "brook",
    "bush",
    "butterfly",
    "cake",
    "cell",
    "cherry",
    "cloud",
    "credit",
    "darkness",
    "dawn",
    "dew",
    "disk",
    "dream",
    "dust",
    "feather",
    "field",
    "fire",
    "firefly",
    "flower",
    "fog",
    "forest",
    "frog",
    "frost",
    "glade",
    "glitter",
    "grass",
    "hall",
    "hat",
    "haze",
    "heart",
    "hill",
    "king",
    "lab",
    "lake",
    "leaf",
    "limit",
    "math",
    "meadow",
    "mode",
    "moon",
    "morning",
    "mountain",
    "mouse",
    "mud",
    "night",
    "paper",
    "pine",
    "poetry",
    "pond",
    "queen",
    "rain",
    "recipe",
    "resonance",
    "rice",
    "river",
    "salad",
    "scene",
    "sea",
    "shadow",
    "shape",
    "silence",
    "sky",
    "smoke",
    "snow",
    "snowflake",
    "sound",
    "star",
    "sun",
    "sunset",
    "surf",
    "term",
    "thunder",
    "tooth",
    "tree",
    "truth",
    "union",
    "unit",
    "violet",
    "voice",
    "water",
    "wave",
    "wind",
    "wood",
];

fn random_name() -> String {
    let mut rng = rand::rng();
    let adjective = ADJECTIVES.choose(&mut rng).copied().unwrap_or("plain");
    let noun = NOUNS.choose(&mut rng).copied().unwrap_or("lake");
    format!(
        "{adjective}-{noun}-{:08}",
        rng.random_range(0..100_000_000_u32)
    )
}

/// The IDs of a new project, its branch and its compute.
#[derive(Debug, Clone)]
pub(crate) struct NewIds {
    pub(crate) project: ProjectId,
    pub(crate) branch: BranchId,
    pub(crate) endpoint: EndpointId,
}

/// Generates new IDs. A collision of random IDs is very unlikely.
pub(crate) fn new_ids() -> Result<NewIds, ParseIdError> {
    Ok(NewIds {
        project: random_name().parse()?,
        branch: new_branch_id()?,
        endpoint: new_endpoint_id()?,
    })
}

pub(crate) fn new_branch_id() -> Result<BranchId, ParseIdError> {
    format!("br-{}", random_name()).parse()
}

pub(crate) fn new_endpoint_id() -> Result<EndpointId, ParseIdError> {
    format!("ep-{}", random_name()).parse()
}

pub(crate) fn new_snapshot_id() -> String {
    format!("snap-{}", random_name())
}

/// Generates a password of letters, digits and `_`, so that it needs no escaping in a URI or a
/// statement.
pub(crate) fn new_password() -> String {
    format!(
        "npg_{}",
        Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARACTERS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_neons_format() {
        for _ in 0..200 {
            let ids = new_ids().unwrap();
            let pieces: Vec<&str> = ids.project.as_str().split('-').collect();
            assert_eq!(pieces.len(), 3, "{}", ids.project);
            assert!(pieces[2].len() == 8 && pieces[2].bytes().all(|byte| byte.is_ascii_digit()));
            assert!(
                ids.branch.as_str().starts_with("br-") && ids.endpoint.as_str().starts_with("ep-")
            );
        }
    }

    #[test]
    fn passwords_need_no_escaping() {
        let password = new_password();
        assert!(password.len() >= 16 && password.starts_with("npg_"));
        assert!(
            password
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        );
    }
}
