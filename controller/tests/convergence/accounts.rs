//! What an account knows about its projects after partial listings and changes of the API key.

use std::sync::Arc;

use controller::accounts::{Account, Accounts, ListingError, Priority};
use controller::clock::WallClock;
use controller::identity::{TenantKey, TenantUid};
use controller::neon::NeonApi as _;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::ProjectId;

use crate::cluster::SimulatedCluster;
use crate::events::Key;
use crate::neon::SimulatedNeon;
use crate::process::CONFIG;
use crate::simulate;
use crate::world::{World, installation, uid_text};

/// The account of the class `default`.
struct Fixture {
    world: World,
    accounts: Accounts,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new();
        let clock = WallClock::new({
            let world = world.clone();
            move || world.state().now()
        });
        let neon = SimulatedNeon::new(&world);
        let accounts = Accounts::new(
            CONFIG.neon.clone(),
            installation(),
            clock,
            Box::new(move |_, org_id, key| neon.with_access(org_id, key)),
        );
        let fixture = Self { world, accounts };
        fixture.load().await;
        fixture
    }

    /// Reads the class and its API key again.
    async fn load(&self) {
        let class = self.world.state().class.clone();
        let cluster = SimulatedCluster(self.world.clone());
        self.accounts
            .load(&class, &cluster)
            .await
            .expect("the class is loaded");
    }

    async fn use_key(&self, key: Key) {
        self.world.state().key = key;
        self.load().await;
    }

    fn account(&self) -> Arc<Account> {
        let account = self.accounts.for_class("default");
        account.expect("a loaded class").expect("a usable account")
    }

    fn now(&self) -> Timestamp {
        self.world.state().now()
    }

    async fn list(&self) -> Result<(), ListingError> {
        self.account().list_since(self.now(), Priority::User).await
    }

    /// Whether the last listing says anything about the projects of the current key's account.
    fn is_listed(&self) -> bool {
        let tenant = TenantUid::parse(&uid_text(1)).expect("a valid UID");
        let key = TenantKey::new("acme", "acme");
        let listing = self.account().listing_for(tenant, &key, None);
        listing.as_of.is_some()
    }
}

fn unknown() -> ProjectId {
    "p-unknown".parse().expect("a valid id")
}

#[test]
fn a_project_that_a_listing_shows_by_its_id_only_is_read() {
    simulate(async {
        let fixture = Fixture::new().await;
        fixture.world.state().add_stranger();
        fixture.list().await.expect("a complete listing");
        assert_eq!(fixture.account().project_count(), Some(1));
    });
}

#[test]
fn a_listing_with_a_project_that_cannot_be_read_is_incomplete() {
    simulate(async {
        let fixture = Fixture::new().await;
        {
            let mut state = fixture.world.state();
            state.add_stranger();
            state.unreadable_until = state.now() + SignedDuration::from_mins(1);
        }
        let result = fixture.list().await;
        assert!(
            matches!(result, Err(ListingError::Incomplete { count: 1, .. })),
            "{result:?}"
        );
        assert!(!fixture.is_listed());
    });
}

#[test]
fn a_project_is_deleted_only_if_the_account_has_shown_it_or_can_recover_it() {
    simulate(async {
        let fixture = Fixture::new().await;
        let is_deleted = async |id: &ProjectId| {
            let answer = fixture.account().is_deleted(id).await;
            answer.expect("Neon answers")
        };
        assert!(!is_deleted(&unknown()).await);
        let stranger = {
            let mut state = fixture.world.state();
            state.add_stranger();
            state.projects.keys().next().cloned().expect("a project")
        };
        fixture
            .world
            .state()
            .live(&stranger)
            .expect("the project")
            .deleted = true;
        assert!(is_deleted(&stranger).await, "Neon can recover it");
        let forgotten = fixture.world.state().projects.remove(&stranger);
        assert!(!is_deleted(&stranger).await, "the account never showed it");
        let mut project = forgotten.expect("the project");
        project.deleted = false;
        fixture
            .world
            .state()
            .projects
            .insert(stranger.clone(), project);
        fixture.list().await.expect("a complete listing");
        fixture.world.state().projects.remove(&stranger);
        assert!(is_deleted(&stranger).await, "the account has shown it");
    });
}

#[test]
fn a_listing_that_began_with_another_key_proves_nothing() {
    simulate(async {
        let fixture = Fixture::new().await;
        fixture.list().await.expect("a complete listing");
        fixture.world.state().listings_held = true;
        let account = fixture.account();
        let mut listing = account
            .list_since(
                fixture.now() + SignedDuration::from_secs(1),
                Priority::Background,
            )
            .boxed();
        assert!(futures::poll!(&mut listing).is_pending());
        fixture.use_key(Key::Foreign).await;
        fixture.world.release_listings();
        let result = listing.await;
        assert!(
            matches!(result, Err(ListingError::KeyChanged)),
            "{result:?}"
        );
    });
}

#[test]
fn after_a_change_of_the_key_the_former_listing_is_not_used() {
    simulate(async {
        let fixture = Fixture::new().await;
        fixture.world.state().add_stranger();
        fixture.list().await.expect("a complete listing");
        assert!(fixture.is_listed());
        fixture.use_key(Key::Foreign).await;
        assert!(
            !fixture.is_listed(),
            "the owner of the key is not known yet"
        );
        fixture
            .account()
            .identified_client()
            .await
            .expect("the key is valid");
        assert!(!fixture.is_listed(), "the account has not been listed yet");
        fixture.list().await.expect("a complete listing");
        assert!(fixture.is_listed());
        assert_eq!(fixture.account().project_count(), Some(0));
    });
}

#[test]
fn a_key_of_an_organization_has_no_access_to_another_one_that_the_class_names() {
    simulate(async {
        let fixture = Fixture::new().await;
        fixture.world.state().class.spec.neon.org_id = Some("org-other-3".to_owned());
        fixture.load().await;
        let account = fixture.account();
        let (_, owner) = account.identified_client().await.expect("the key is valid");
        assert!(account.mismatch_of(&owner, None).is_some(), "{owner}");
    });
}
