//! Requests round-trip, because the emulator deserializes them.

use neon_client::model::{CreateBranch, CreateDatabase, Lsn, RestoreBranch, UpdateBranch};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

fn round_trips<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> bool {
    let json = serde_json::to_string(value).unwrap();
    serde_json::from_str::<T>(&json).unwrap() == *value
}

/// A timestamp with the API's resolution of one microsecond.
fn timestamp() -> impl Strategy<Value = jiff::Timestamp> {
    (0..4_102_444_800_000_000_i64).prop_map(|at| jiff::Timestamp::from_microsecond(at).unwrap())
}

proptest! {
    #[test]
    fn every_branch_request_round_trips(
        name in ".{1,40}", at in timestamp(), lsn in any::<u64>(), compute in any::<bool>(), never in any::<bool>(),
    ) {
        let mut create = CreateBranch::named(name.clone()).parent_timestamp(at);
        if compute {
            create = create.with_compute();
        }
        prop_assert!(round_trips(&create));
        let source: neon_client::ids::BranchId = "br-a-1".parse().unwrap();
        prop_assert!(round_trips(&RestoreBranch::from_timestamp(source.clone(), at)));
        prop_assert!(round_trips(&RestoreBranch::from_lsn(source, Lsn(lsn)).preserve_under_name(name.clone())));
        let expires = if never { None } else { Some(at) };
        let update = UpdateBranch::default().name(name).expires_at(expires);
        prop_assert!(round_trips(&update), "null and absent are different");
        prop_assert_eq!(update.expires_at, Some(expires));
        prop_assert!(round_trips(&UpdateBranch::default()));
    }

    #[test]
    fn every_database_name_round_trips(name in "[^\\p{Cc}]{1,15}", owner in "[a-z_]{1,20}") {
        prop_assume!(!matches!(name.as_str(), "." | ".."));
        let new = CreateDatabase::new(name.parse().unwrap(), owner.parse().unwrap());
        prop_assert!(round_trips(&new));
    }

    #[test]
    fn invalid_json_never_panics(text in ".{0,200}") {
        let _ = serde_json::from_str::<neon_client::model::CreatedBranch>(&text);
        let _ = serde_json::from_str::<neon_client::model::BranchPage>(&text);
        let _ = serde_json::from_str::<neon_client::model::ProjectConsumptionPage>(&text);
    }
}
