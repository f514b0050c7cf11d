//! Lists the projects of an account.

use std::sync::atomic::Ordering;

use futures::StreamExt;
use jiff::Timestamp;
use neon_client::ErrorKind;
use neon_client::model::Project;
use service_kit::error_chain;
use tracing::{debug, info};

use super::{Account, Priority};
use crate::accounts::listing_error::ListingError;
use crate::accounts::snapshot::ListingBuilder;
use crate::error::account_issue;
use crate::neon::NeonApi;

/// The maximum page size of the API.
const PROJECTS_PER_PAGE: u16 = 400;
/// Projects that one listing reads by id because Neon returned only their ids. The next listing
/// reads further ones.
const MAX_RESOLVED_PER_LISTING: usize = 100;
/// Such projects that are read concurrently.
const CONCURRENT_RESOLUTIONS: usize = 4;

impl Account {
    /// Whether a complete listing began at this time or later.
    pub fn is_listed_since(&self, time: Timestamp) -> bool {
        self.shows_current_owner() && self.snapshot.lock().as_of() >= Some(time)
    }

    /// Requests a listing that begins at this time, which is not in the future, or later. Does nothing
    /// if that was requested before.
    pub fn request_listing_since(&self, time: Timestamp) {
        let mut requested = self.listing_requested_since.lock();
        if *requested < Some(time) {
            *requested = Some(time);
            self.listing_requested.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a listing was requested ahead of schedule. Resets the request.
    pub fn take_listing_request(&self) -> bool {
        self.listing_requested.swap(false, Ordering::Relaxed)
    }

    /// Lists all projects of the account, unless the last complete listing began at `since` or later.
    /// Fails if the listing is incomplete; its projects are in the snapshot even then.
    pub async fn list_since(
        &self,
        since: Timestamp,
        priority: Priority,
    ) -> Result<(), ListingError> {
        let _guard = self.listing_lock.lock().await;
        if self
            .snapshot
            .lock()
            .as_of()
            .is_some_and(|as_of| as_of >= since)
        {
            return Ok(());
        }
        let result = self.list(priority).await;
        *self.last_error.lock() = match &result {
            Err(ListingError::Neon(error)) => Some(account_issue(error)),
            Err(ListingError::Misplaced(issue)) => Some(issue.clone()),
            // The Tenants with a recorded project do not need a complete listing.
            Err(ListingError::Incomplete { .. } | ListingError::KeyChanged) | Ok(()) => None,
        };
        result
    }

    async fn list(&self, priority: Priority) -> Result<(), ListingError> {
        let (client, generation) = self.current_client();
        let client = match priority {
            Priority::User => client,
            Priority::Background => client.background(),
        };
        self.identify(&*client, generation).await?;
        let mut listing = ListingBuilder::begin(self.clock.now());
        let mut pages = client.list_projects(PROJECTS_PER_PAGE);
        while let Some(page) = pages.next().await {
            let page = page?;
            self.check_organization(&page.projects)?;
            listing.add_page(
                &page.projects,
                page.unavailable_project_ids,
                &self.installation,
            );
        }
        self.resolve_unavailable(&mut listing, &*client).await;
        listing.finish(self.clock.now());
        // The listing may show the projects of another account.
        if generation != self.key_generation() {
            return Err(ListingError::KeyChanged);
        }
        let mut snapshot = self.snapshot.lock();
        let unresolved = snapshot.replace(listing);
        info!(
            neon.projects = snapshot.len(),
            neon.pages = snapshot.pages(),
            neon.unresolved = unresolved.len(),
            "listed the account's projects"
        );
        match unresolved.first() {
            None => Ok(()),
            Some(example) => Err(ListingError::Incomplete {
                count: unresolved.len(),
                example: example.clone(),
            }),
        }
    }

    fn check_organization(&self, projects: &[Project]) -> Result<(), ListingError> {
        let issue = projects.iter().find_map(|project| self.misplaced(project));
        issue.map_or(Ok(()), |issue| Err(ListingError::Misplaced(issue)))
    }

    /// Reads the projects that neither this listing nor an earlier one shows: their names may carry
    /// the mark of any Tenant. A project that cannot be read remains unresolved.
    async fn resolve_unavailable(&self, listing: &mut ListingBuilder, client: &dyn NeonApi) {
        let unresolved = self.snapshot.lock().unresolved(listing);
        let mut answers = futures::stream::iter(unresolved)
            .take(MAX_RESOLVED_PER_LISTING)
            .map(|id| {
                let call = client.project(&id);
                async move { (id, call.await) }
            })
            .buffered(CONCURRENT_RESOLUTIONS);
        while let Some((id, answer)) = answers.next().await {
            match answer {
                Ok(project) if self.misplaced(&project).is_none() => {
                    listing.resolve(&project, &self.installation);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => listing.resolve_absent(&id),
                Err(error) => {
                    debug!(project.id = %id, error = %error_chain(&error), "failed to read an unavailable project");
                }
            }
        }
    }
}
