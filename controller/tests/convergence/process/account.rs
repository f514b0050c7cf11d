//! The steps that call Neon about the project, effect by effect as in the files of `apply`.

use controller::accounts::ListingBuilder;
use controller::error::ReconcileError;
use controller::identity::marked_tenant;
use controller::issue::Component;
use controller::tenant::observed::{ObservedCompute, ObservedState};
use crds::{CreationIntent, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::ProjectId;
use neon_client::model::Project;

use super::steps::{endpoint_id, record};
use super::{Process, Reconciliation, installation, progress_of, save, uid_of};
use crate::world::{
    CreateReply, LISTING, SEND_WINDOW, SETTLE_WINDOW, Stop, World, set, unreachable,
};

impl Process {
    fn wrote(&mut self, world: &World, project: &Project) {
        self.snapshot
            .record_write(project, &installation(), world.now);
    }

    pub(super) fn list(&mut self, world: &mut World) -> Result<(), Stop> {
        world.read()?;
        let mut listing = ListingBuilder::begin(world.now);
        listing.add_page(&world.listed(), Vec::new(), &installation());
        world.pass_time(LISTING);
        self.snapshot.replace(listing);
        Ok(())
    }

    pub(super) fn create(
        &mut self,
        world: &mut World,
        rec: &mut Reconciliation,
        observed: &ObservedState,
        attempt: i32,
    ) -> Result<(), Stop> {
        let desired = rec.desired()?.clone();
        let not_after = world.now + SEND_WINDOW;
        rec.status.creation = Some(CreationIntent {
            project_name: observed.project_name.clone(),
            not_after: MicroTime(not_after),
            settled_at: MicroTime(not_after + SETTLE_WINDOW),
            attempt,
        });
        save(
            world,
            rec,
            observed,
            &progress_of(Component::Project, Reason::CreatingProject),
        )?;
        let created = match world.create(&observed.project_name, &desired)? {
            CreateReply::Created(created) => created,
            CreateReply::Ambiguous => {
                return Err(Stop::Failed(ReconcileError::transient(
                    Component::Project,
                    Reason::VerifyingCreation,
                    "no answer",
                )));
            }
            CreateReply::Refused => {
                rec.status.creation = None;
                return Err(unreachable());
            }
        };
        self.wrote(world, &created.project);
        record(rec, &created.project, Some(desired.effective()));
        rec.state.credentials = Some((created.project.id.clone(), created.password));
        save(
            world,
            rec,
            observed,
            &progress_of(Component::Credentials, Reason::UpdatingSecret),
        )
    }

    pub(super) fn recover_created(
        &mut self,
        world: &mut World,
        rec: &mut Reconciliation,
        id: &ProjectId,
    ) -> Result<(), Stop> {
        world.read()?;
        let Some(project) = world.alive(id).map(|held| held.project.clone()) else {
            self.snapshot.record_deletion(id, world.now);
            return Ok(());
        };
        world.read()?;
        record(rec, &project, None);
        self.wrote(world, &project);
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        world: &mut World,
        rec: &Reconciliation,
        id: &ProjectId,
    ) -> Result<(), Stop> {
        let owner = world
            .projects
            .get(id)
            .and_then(|held| marked_tenant(&held.project.name, &installation()));
        let renamed = rec.project().as_ref() == Some(id);
        assert!(
            renamed || owner == Some(uid_of(rec.tenant.uid)),
            "{id} is not this Tenant's to delete"
        );
        world.change(|world| {
            if let Some(held) = world.alive(id) {
                held.deleted = true;
            }
        })?;
        self.snapshot.record_deletion(id, world.now);
        Ok(())
    }

    pub(super) fn verify_missing(
        &mut self,
        world: &mut World,
        rec: &mut Reconciliation,
        id: &ProjectId,
    ) -> Result<(), Stop> {
        world.read()?;
        if world.alive(id).is_none() {
            world.change(|world| {
                if let Some(held) = world.projects.get_mut(id) {
                    held.deleted = false;
                    held.project.updated_at = world.now;
                }
            })?;
        }
        let Some(project) = world.alive(id).map(|held| held.project.clone()) else {
            return Err(Stop::Failed(ReconcileError::permanent(
                Component::Project,
                Reason::ProjectNotFound,
                "gone",
            )));
        };
        self.wrote(world, &project);
        rec.state.project_found = true;
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        world: &mut World,
        rec: &mut Reconciliation,
        observed: &ObservedState,
        id: &ProjectId,
        resize: bool,
    ) -> Result<(), Stop> {
        let desired = rec.desired()?.clone();
        let updated = world.change(|world| {
            let now = world.now;
            world.alive(id).map(|held| {
                set(&mut held.project, &observed.project_name, &desired, now);
                held.project.clone()
            })
        })?;
        let updated = updated.ok_or_else(unreachable)?;
        self.wrote(world, &updated);
        if resize {
            world.change(|world| {
                let now = world.now;
                if let Some(held) = world.alive(id) {
                    held.compute = desired.compute;
                    held.project.updated_at = now;
                }
            })?;
            rec.state.compute = Some(ObservedCompute {
                id: endpoint_id(id),
                settings: desired.compute,
            });
        }
        if let Some(project) = &mut rec.status.project {
            project.name.clone_from(&observed.project_name);
            let known = rec.state.compute.is_some();
            project.checked_at = known.then(|| updated.updated_at.to_string());
        }
        rec.status.effective = Some(desired.effective());
        Ok(())
    }
}
