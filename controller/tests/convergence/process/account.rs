//! The steps that call Neon about the project, effect by effect as in the files of `apply`.

use controller::accounts::Gathering;
use controller::error::Failure;
use controller::identity::marked_tenant;
use controller::tenant::observed::{EndpointFacts, Facts};
use controller::tenant::status::Area;
use crds::{CreationIntent, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::ProjectId;
use neon_client::model::Project;

use super::steps::{endpoint_id, record};
use super::{Pass, Process, installation, progress_of, save, uid_of};
use crate::world::{
    LISTING, NotCreated, SEND_WINDOW, SETTLE_WINDOW, Stop, World, set, unreachable,
};

impl Process {
    fn wrote(&mut self, world: &World, project: &Project) {
        self.snapshot.wrote(project, &installation(), world.now);
    }

    pub(super) fn list(&mut self, world: &mut World) -> Result<(), Stop> {
        world.read()?;
        let mut gathering = Gathering::begin(world.now);
        gathering.page(&world.listed(), Vec::new(), &installation());
        world.pass_time(LISTING);
        self.snapshot.replace(gathering);
        Ok(())
    }

    pub(super) fn create(
        &mut self,
        world: &mut World,
        pass: &mut Pass,
        facts: &Facts,
        attempt: i32,
    ) -> Result<(), Stop> {
        let wish = pass.wish()?.clone();
        let not_after = world.now + SEND_WINDOW;
        pass.status.creation = Some(CreationIntent {
            project_name: facts.project_name.clone(),
            not_after: MicroTime(not_after),
            settled_at: MicroTime(not_after + SETTLE_WINDOW),
            attempt,
        });
        save(
            world,
            pass,
            facts,
            &progress_of(Area::Project, Reason::CreatingProject),
        )?;
        let created = match world.create(&facts.project_name, &wish)? {
            Ok(created) => created,
            Err(NotCreated::Ambiguous) => {
                return Err(Stop::Failed(Failure::passing(
                    Area::Project,
                    Reason::VerifyingCreation,
                    "no answer",
                )));
            }
            Err(NotCreated::Refused) => {
                pass.status.creation = None;
                return Err(unreachable());
            }
        };
        self.wrote(world, &created.project);
        record(pass, &created.project, Some(wish.effective()));
        pass.hand.credentials = Some((created.project.id.clone(), created.password));
        save(
            world,
            pass,
            facts,
            &progress_of(Area::Credentials, Reason::UpdatingSecret),
        )
    }

    pub(super) fn take_up(
        &mut self,
        world: &mut World,
        pass: &mut Pass,
        id: &ProjectId,
    ) -> Result<(), Stop> {
        world.read()?;
        let Some(project) = world.alive(id).map(|held| held.project.clone()) else {
            self.snapshot.deleted(id, world.now);
            return Ok(());
        };
        world.read()?;
        record(pass, &project, None);
        self.wrote(world, &project);
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        world: &mut World,
        pass: &Pass,
        id: &ProjectId,
    ) -> Result<(), Stop> {
        let owner = world
            .projects
            .get(id)
            .and_then(|held| marked_tenant(&held.project.name, &installation()));
        let renamed = pass.project().as_ref() == Some(id);
        assert!(
            renamed || owner == Some(uid_of(pass.tenant.uid)),
            "{id} is not this Tenant's to delete"
        );
        world.change(|world| {
            if let Some(held) = world.alive(id) {
                held.deleted = true;
            }
        })?;
        self.snapshot.deleted(id, world.now);
        Ok(())
    }

    pub(super) fn confirm_gone(
        &mut self,
        world: &mut World,
        pass: &mut Pass,
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
            return Err(Stop::Failed(Failure::lasting(
                Area::Project,
                Reason::ProjectNotFound,
                "gone",
            )));
        };
        self.wrote(world, &project);
        pass.hand.confirmed = true;
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        world: &mut World,
        pass: &mut Pass,
        facts: &Facts,
        id: &ProjectId,
        resize: bool,
    ) -> Result<(), Stop> {
        let wish = pass.wish()?.clone();
        let updated = world.change(|world| {
            let now = world.now;
            world.alive(id).map(|held| {
                set(&mut held.project, &facts.project_name, &wish, now);
                held.project.clone()
            })
        })?;
        let updated = updated.ok_or_else(unreachable)?;
        self.wrote(world, &updated);
        if resize {
            world.change(|world| {
                let now = world.now;
                if let Some(held) = world.alive(id) {
                    held.compute = wish.compute;
                    held.project.updated_at = now;
                }
            })?;
            pass.hand.endpoint = Some(EndpointFacts {
                id: endpoint_id(id),
                compute: wish.compute,
            });
        }
        if let Some(project) = &mut pass.status.project {
            project.name.clone_from(&facts.project_name);
            let known = pass.hand.endpoint.is_some();
            project.checked_at = known.then(|| updated.updated_at.to_string());
        }
        pass.status.effective = Some(wish.effective());
        Ok(())
    }
}
