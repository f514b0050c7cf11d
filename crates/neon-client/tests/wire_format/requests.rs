//! What requests must keep: they are read as they were written, by whoever plays the server.

use neon_client::model::{CreateBranch, CreateDatabase, Lsn, RestoreBranch, UpdateBranch};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

fn survives<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> bool {
    let json = serde_json::to_string(value).unwrap();
    serde_json::from_str::<T>(&json).unwrap() == *value
}

/// A moment, to the microsecond that the API has.
fn moment() -> impl Strategy<Value = jiff::Timestamp> {
    (0..4_102_444_800_000_000_i64).prop_map(|at| jiff::Timestamp::from_microsecond(at).unwrap())
}

proptest! {
    #[test]
    fn every_request_about_branches_is_read_as_it_was_written(
        name in ".{1,40}", at in moment(), lsn in any::<u64>(), compute in any::<bool>(), never in any::<bool>(),
    ) {
        let mut create = CreateBranch::named(name.clone()).parent_timestamp(at);
        if compute {
            create = create.with_compute();
        }
        prop_assert!(survives(&create));
        let source: neon_client::ids::BranchId = "br-a-1".parse().unwrap();
        prop_assert!(survives(&RestoreBranch::from_moment(source.clone(), at)));
        prop_assert!(survives(&RestoreBranch::from_lsn(source, Lsn(lsn)).preserve_under_name(name.clone())));
        let expires = if never { None } else { Some(at) };
        let update = UpdateBranch::default().name(name).expires_at(expires);
        prop_assert!(survives(&update), "never and not named are two things");
        prop_assert_eq!(update.expires_at, Some(expires));
        prop_assert!(survives(&UpdateBranch::default()));
    }

    #[test]
    fn every_name_of_a_database_survives(name in "[^\\p{Cc}]{1,15}", owner in "[a-z_]{1,20}") {
        prop_assume!(!matches!(name.as_str(), "." | ".."));
        let new = CreateDatabase::new(name.parse().unwrap(), owner.parse().unwrap());
        prop_assert!(survives(&new));
    }

    #[test]
    fn what_is_no_json_or_has_another_shape_is_refused_and_never_a_panic(text in ".{0,200}") {
        let _ = serde_json::from_str::<neon_client::model::CreatedBranch>(&text);
        let _ = serde_json::from_str::<neon_client::model::BranchPage>(&text);
        let _ = serde_json::from_str::<neon_client::model::ProjectConsumptionPage>(&text);
    }
}
