//! The steps that touch the Tenant, its Secret and its database, effect by effect as in the files of `apply`.

use controller::error::ReconcileError;
use controller::identity::marked_tenant;
use controller::issue::Component;
use controller::tenant::drift::{compute_differs, project_differs};
use controller::tenant::intent::Intent;
use controller::tenant::observed::{ObservedCompute, ObservedState};
use crds::{Binding, Connection, DeletionPolicy, Effective, ProjectStatus, Reason, SchemaStatus};
use neon_client::ids::ProjectId;
use neon_client::model::Project;

use super::{Reconciliation, digest, installation, uid_of};
use crate::world::{Kept, Stop, World, conflict, unreachable};

pub(super) fn add_finalizer(world: &mut World, rec: &mut Reconciliation) -> Result<(), Stop> {
    let stored = world.stored(rec.tenant.uid)?;
    if stored.deleting
        || stored.generation != rec.tenant.generation
        || stored.status != rec.tenant.status
    {
        return Err(conflict());
    }
    stored.finalizer = true;
    let written = stored.clone();
    rec.adopt_version(written);
    world.effect()
}

pub(super) fn remove_finalizer(world: &mut World, rec: &mut Reconciliation) -> Result<(), Stop> {
    let owner = uid_of(rec.tenant.uid);
    let recorded = rec.project();
    let own = |project: &&Project| {
        recorded.as_ref() == Some(&project.id)
            || marked_tenant(&project.name, &installation()) == Some(owner)
    };
    let coming = world.in_flight.iter().map(|(_, held)| &held.project);
    let coming: Vec<_> = coming.filter(own).map(|project| &project.id).collect();
    assert!(
        coming.is_empty(),
        "the Tenant goes, and {coming:?} still to come"
    );
    let there = world.listed();
    let there: Vec<_> = there
        .iter()
        .filter(own)
        .map(|project| project.id.clone())
        .collect();
    let retains =
        rec.intent == Intent::Delete(DeletionPolicy::Retain) && rec.status.creation.is_none();
    assert!(
        there.is_empty() || retains,
        "the Tenant goes and leaves {there:?} behind"
    );
    let stored = world.stored(rec.tenant.uid)?;
    if stored.generation != rec.tenant.generation || stored.status != rec.tenant.status {
        return Err(conflict());
    }
    stored.finalizer = false;
    if stored.deleting {
        world.remove_tenant();
        world.retained.extend(there);
    }
    world.effect()
}

pub(super) fn endpoint_id(project: &ProjectId) -> neon_client::ids::EndpointId {
    format!("ep-{project}").parse().expect("an id")
}

pub(super) fn record(rec: &mut Reconciliation, project: &Project, effective: Option<Effective>) {
    rec.status.project = Some(ProjectStatus {
        id: project.id.to_string(),
        region: project.region_id.to_string(),
        name: project.name.clone(),
        branch_id: None,
        endpoint_id: Some(endpoint_id(&project.id).to_string()),
        adopted: false,
        checked_at: Some(project.updated_at.to_string()),
    });
    rec.status.creation = None;
    rec.status.connection = None;
    rec.status.effective = effective;
}

pub(super) fn inspect(
    world: &mut World,
    rec: &mut Reconciliation,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), Stop> {
    world.read()?;
    let Some(compute) = world.alive(id).map(|held| held.compute) else {
        return Err(unreachable());
    };
    let seen = ObservedCompute {
        id: endpoint_id(id),
        settings: compute,
    };
    let desired = rec.desired()?;
    let settled = !compute_differs(seen.settings, desired.compute);
    let listed = observed.listing.own.as_ref();
    let unchanged = listed
        .is_none_or(|listed| !project_differs(listed, desired, &observed.project_name, false));
    if let Some(project) = &mut rec.status.project {
        project.endpoint_id = Some(seen.id.to_string());
        if settled && unchanged {
            project.checked_at = listed.map(|listed| listed.updated_at.clone());
        }
    }
    rec.state.compute = Some(seen);
    Ok(())
}

pub(super) fn write_secret(
    world: &mut World,
    rec: &mut Reconciliation,
    id: &ProjectId,
) -> Result<(), Stop> {
    let name = rec.desired()?.secret_name.clone();
    let in_hand = rec
        .state
        .credentials
        .as_ref()
        .is_some_and(|(of, _)| of == id)
        && !rec.state.password_rejected;
    if !in_hand {
        fetch(world, rec, id)?;
    }
    let password = rec
        .state
        .credentials
        .as_ref()
        .map(|(_, password)| *password);
    if world.secret(&name).is_none() {
        let owner = world.stored(rec.tenant.uid)?.uid;
        world.secrets.push(Kept {
            name: name.clone(),
            owner,
            intact: false,
            project: None,
            password: None,
        });
        world.effect()?;
    }
    let secret = world.secret(&name).ok_or_else(conflict)?;
    secret.intact = true;
    secret.project = Some(id.clone());
    secret.password = password;
    world.effect()?;
    rec.status.connection = Some(Connection {
        host: format!("{}.eu.neon.tech", endpoint_id(id)),
        pooled_host: format!("{}-pooler.eu.neon.tech", endpoint_id(id)),
        port: 5432,
        database: "neondb".to_owned(),
        role: "neondb_owner".to_owned(),
        ssl_mode: "require".to_owned(),
        options: None,
    });
    rec.status.binding = Some(Binding { name });
    Ok(())
}

/// Reads the password from Neon, or resets it where the one that Neon reveals was refused already.
fn fetch(world: &mut World, rec: &mut Reconciliation, id: &ProjectId) -> Result<(), Stop> {
    world.read()?;
    let revealed = world
        .alive(id)
        .map(|held| held.password)
        .ok_or_else(unreachable)?;
    let refused = rec
        .state
        .credentials
        .take()
        .filter(|_| rec.state.password_rejected);
    let same = refused.is_some_and(|(_, password)| password == revealed);
    let mut password = revealed;
    if same || rec.state.password_rejected && rec.state.password_read {
        assert!(
            !rec.state.password_reset,
            "a password is reset once in a pass"
        );
        password = world.change(|world| {
            let password = world.new_password();
            if let Some(held) = world.alive(id) {
                held.password = password;
            }
            password
        })?;
        rec.state.password_reset = true;
    } else {
        rec.state.password_read = true;
    }
    rec.state.password_rejected = false;
    rec.state.credentials = Some((id.clone(), password));
    Ok(())
}

pub(super) fn migrate(
    world: &mut World,
    rec: &mut Reconciliation,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), Stop> {
    let name = rec.desired()?.secret_name.clone();
    let password = match &rec.state.credentials {
        Some((of, password)) if of == id => Some(*password),
        _ => world.secret(&name).and_then(|secret| secret.password),
    };
    let Some(password) = password else {
        return Err(Stop::Failed(ReconcileError::transient(
            Component::Credentials,
            Reason::UpdatingSecret,
            "no password",
        )));
    };
    let version = world.schema;
    let held = world.alive(id).ok_or_else(unreachable)?;
    if held.password != password {
        if rec.state.password_rejected {
            return Err(Stop::Failed(ReconcileError::transient(
                Component::Schema,
                Reason::DatabaseUnreachable,
                "refused",
            )));
        }
        rec.state.password_rejected = true;
        return Ok(());
    }
    held.schema = Some(version);
    world.effect()?;
    rec.status.schema = Some(SchemaStatus {
        version: Some(version),
        target: version,
        checksum: Some(digest(version)),
        applied_at: None,
        project_id: Some(id.to_string()),
    });
    rec.status
        .last_reconcile_at
        .clone_from(&observed.reconcile_at);
    Ok(())
}
