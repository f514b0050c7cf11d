//! How a Tenant comes by its project: created, taken up again after a lost answer, or adopted.

use std::time::{Duration, Instant};

use crds::{CreationIntent, Effective, ProjectStatus, Reason, Timings};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::{OperationId, ProjectId};
use neon_client::model::{
    AllowedIps, CreateProject, DefaultEndpointSettings, Endpoint, EndpointType, FirstBranch,
    Project, ProjectSettings, Quota,
};
use neon_client::{ErrorKind, Route};

use crate::facts::Facts;
use crate::failure::Failure;
use crate::pass::Pass;
use crate::report::{Area, Finding, Verdict, millis_between};
use crate::wish::Wish;

/// A request that was recorded is sent within this time, or not at all.
const SEND_WINDOW: Duration = Duration::from_secs(10);

/// Records the intent, then asks Neon for the project.
///
/// The order is what makes a crash harmless: whoever finds the intent knows under which name a project may exist and until
/// when one may still appear. The turn in the account's quota is waited for first, so that the recorded moments are fresh.
pub(super) async fn create(
    pass: &mut Pass<'_>,
    facts: &Facts,
    attempt: i32,
) -> Result<(), Failure> {
    const DOING: &str = "creating the project";
    let account = pass.account()?;
    let neon = account.neon();
    let body = body(pass.wish()?, &facts.project_name);
    start_clock(pass);
    let permit = neon
        .reserve(Route::CreateProject)
        .await
        .map_err(|error| Failure::neon(Area::Project, DOING, &error))?;

    let (now, send_until) = (Timestamp::now(), Instant::now() + SEND_WINDOW);
    let not_after = later(now, SEND_WINDOW);
    pass.status.creation = Some(CreationIntent {
        project_name: facts.project_name.clone(),
        not_after: MicroTime(not_after),
        settled_at: MicroTime(later(not_after, pass.ctx.config.neon.create_settle_window)),
        attempt,
    });
    let finding = Finding {
        area: Area::Project,
        reason: Reason::CreatingProject,
        message: "the project is being created".to_owned(),
    };
    pass.save(facts, &Verdict::Progress(finding)).await?;

    // The one call that cannot be repeated is not begun by a process that was frozen until its Lease was gone.
    if !pass.ctx.guard.holds() {
        return Err(Failure::deposed(Area::Project));
    }
    let created = neon
        .projects()
        .create(body)
        .permit(permit)
        .not_after(send_until)
        .send()
        .await;
    let created = match created {
        Ok(created) => created,
        Err(error) if error.kind() == ErrorKind::Ambiguous => {
            return Err(Failure::passing(
                Area::Project,
                Reason::VerifyingCreation,
                format!(
                    "{DOING}: {}; the account is being watched for it",
                    service_kit::error_chain(&error)
                ),
            ));
        }
        // Neon did nothing: there is nothing to wait for.
        Err(error) => {
            pass.status.creation = None;
            return Err(Failure::neon(Area::Project, DOING, &error));
        }
    };
    account.wrote(&created.project);
    let endpoint = created
        .endpoints
        .iter()
        .find(|endpoint| endpoint.endpoint_type == EndpointType::ReadWrite);
    let effective = pass.wish()?.effective();
    record(pass, &created.project, endpoint, false, Some(effective));
    if let Some(details) = created.connection_uris.first() {
        super::credentials::take(pass, &created.project.id, &details.connection_uri)?;
    }
    pass.say(
        Reason::ProjectCreated,
        &format!("created project {}", created.project.id),
    );
    // The Secret and the schema follow within the pass. Nobody is helped by a status for each.
    let finding = Finding {
        area: Area::Schema,
        reason: Reason::Migrating,
        message: "the project is there; its Secret is being written and its schema applied"
            .to_owned(),
    };
    pass.save(facts, &Verdict::Progress(finding)).await
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment
        .saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

fn start_clock(pass: &mut Pass<'_>) {
    pass.status.timings.get_or_insert_with(|| Timings {
        started_at: Some(MicroTime(Timestamp::now())),
        ..Timings::default()
    });
}

fn body(wish: &Wish, name: &str) -> CreateProject {
    CreateProject {
        region_id: Some(wish.region.clone()),
        pg_version: Some(wish.postgres_version),
        branch: Some(FirstBranch {
            database_name: Some(wish.database.clone()),
            role_name: Some(wish.owner.clone()),
            ..FirstBranch::default()
        }),
        settings: Some(settings(wish)),
        default_endpoint_settings: Some(endpoint_defaults(wish)),
        history_retention_seconds: wish.history_retention_seconds,
        store_passwords: Some(true),
        ..CreateProject::named(name)
    }
}

/// The settings of a project that the wish names.
pub(super) fn settings(wish: &Wish) -> ProjectSettings {
    let quota = &wish.quota;
    ProjectSettings {
        quota: Some(Quota {
            active_time_seconds: quota.active_time_seconds,
            compute_time_seconds: quota.compute_time_seconds,
            written_data_bytes: quota.written_data_bytes,
            data_transfer_bytes: quota.data_transfer_bytes,
            logical_size_bytes: quota.logical_size_bytes,
        }),
        allowed_ips: wish.allowed_ips.clone().map(|ips| AllowedIps {
            ips: Some(ips),
            protected_branches_only: Some(false),
        }),
        ..ProjectSettings::default()
    }
}

/// What computes of the project get that are made from now on.
pub(super) fn endpoint_defaults(wish: &Wish) -> DefaultEndpointSettings {
    DefaultEndpointSettings {
        autoscaling_limit_min_cu: wish.compute.min,
        autoscaling_limit_max_cu: wish.compute.max,
        suspend_timeout_seconds: wish.compute.suspend_timeout_seconds,
        ..DefaultEndpointSettings::default()
    }
}

/// Takes up a project of our own that an earlier request made.
pub(super) async fn take_up(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    const DOING: &str = "taking up the project that an earlier request created";
    let account = pass.account()?;
    let neon = account.neon();
    start_clock(pass);
    let project = match neon.projects().get(id).send().await {
        Ok(project) => project,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            account.deleted(id);
            return Ok(());
        }
        Err(error) => return Err(Failure::neon(Area::Project, DOING, &error)),
    };
    let endpoint = compute_of(pass, id, DOING).await?;
    // With which settings it was created is not known: they are sent again.
    record(pass, &project, endpoint.as_ref(), false, None);
    account.wrote(&project);
    pass.say(
        Reason::ProjectCreated,
        &format!("took up project {id}, which an earlier request created"),
    );
    Ok(())
}

/// Takes over a project that was there before the Tenant.
pub(super) async fn adopt(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    const DOING: &str = "adopting the project";
    let account = pass.account()?;
    start_clock(pass);
    let project = match account.neon().projects().get(id).send().await {
        Ok(project) => project,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(mismatch(format!(
                "there is no project {id} in the account: correct spec.adopt.projectId in a new Tenant"
            )));
        }
        Err(error) => return Err(Failure::neon(Area::Project, DOING, &error)),
    };
    let spec = &pass.tenant.spec;
    if let Some(region) = spec
        .region
        .as_deref()
        .filter(|region| *region != project.region_id.as_str())
    {
        return Err(mismatch(format!(
            "project {id} is in {}, and spec.region says {region}",
            project.region_id
        )));
    }
    if let Some(version) = spec
        .postgres_version
        .filter(|version| *version != i32::from(project.pg_version))
    {
        return Err(mismatch(format!(
            "project {id} has Postgres {}, and spec.postgresVersion says {version}",
            project.pg_version
        )));
    }
    let endpoint = compute_of(pass, id, DOING).await?;
    let effective = found(pass.wish()?, &project, endpoint.as_ref());
    record(pass, &project, endpoint.as_ref(), true, Some(effective));
    // From here on the project's region and version count, not what the class gives to new ones.
    pass.goal = crate::observe::goal(pass);
    account.wrote(&project);
    pass.say(Reason::ProjectAdopted, &format!("adopted project {id}"));
    Ok(())
}

fn mismatch(message: String) -> Failure {
    Failure::lasting(Area::Project, Reason::AdoptionMismatch, message)
}

/// What is in effect in a project that is being adopted, where the wish does not leave it alone.
fn found(wish: &Wish, project: &Project, endpoint: Option<&Endpoint>) -> Effective {
    let wished = wish.effective();
    let settings = project.settings.clone().unwrap_or_default();
    let quota = settings.quota.unwrap_or_default();
    let seen = |wished: Option<i64>, seen: Option<u64>| {
        wished
            .and(seen)
            .and_then(|seen| i64::try_from(seen).ok())
            .filter(|seen| *seen > 0)
    };
    let in_use = |wished: Option<f64>, seen: fn(&Endpoint) -> f64| wished.and(endpoint.map(seen));
    Effective {
        region: project.region_id.to_string(),
        postgres_version: i32::from(project.pg_version),
        compute: crds::Compute {
            min_cu: in_use(wished.compute.min_cu, |endpoint| {
                endpoint.autoscaling_limit_min_cu.as_f64()
            }),
            max_cu: in_use(wished.compute.max_cu, |endpoint| {
                endpoint.autoscaling_limit_max_cu.as_f64()
            }),
            suspend_timeout_seconds: wished
                .compute
                .suspend_timeout_seconds
                .and(endpoint.map(|endpoint| endpoint.suspend_timeout_seconds)),
        },
        quota: crds::Quota {
            active_time_seconds: seen(wished.quota.active_time_seconds, quota.active_time_seconds),
            compute_time_seconds: seen(
                wished.quota.compute_time_seconds,
                quota.compute_time_seconds,
            ),
            written_data_bytes: seen(wished.quota.written_data_bytes, quota.written_data_bytes),
            data_transfer_bytes: seen(wished.quota.data_transfer_bytes, quota.data_transfer_bytes),
            logical_size_bytes: seen(wished.quota.logical_size_bytes, quota.logical_size_bytes),
        },
        history_retention_seconds: wished
            .history_retention_seconds
            .and(project.history_retention_seconds.map(i64::from)),
        allowed_ips: match &wish.allowed_ips {
            Some(_) => settings
                .allowed_ips
                .and_then(|allowed| allowed.ips)
                .unwrap_or_default(),
            None => Vec::new(),
        },
        ..wished
    }
}

/// The compute that takes writes.
pub(super) async fn compute_of(
    pass: &Pass<'_>,
    id: &ProjectId,
    doing: &str,
) -> Result<Option<Endpoint>, Failure> {
    let endpoints = pass.account()?.neon().endpoints(id).list().send().await;
    let endpoints = endpoints.map_err(|error| Failure::neon(Area::Project, doing, &error))?;
    let recorded = pass
        .status
        .project
        .as_ref()
        .and_then(|project| project.endpoint_id.as_deref());
    let mut writers: Vec<Endpoint> = endpoints
        .into_iter()
        .filter(|endpoint| endpoint.endpoint_type == EndpointType::ReadWrite)
        .collect();
    // The oldest is the one that was made with the project; later ones belong to branches that people made.
    writers.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let at = recorded
        .and_then(|id| {
            writers
                .iter()
                .position(|endpoint| endpoint.id.as_str() == id)
        })
        .unwrap_or(0);
    Ok((at < writers.len()).then(|| writers.swap_remove(at)))
}

fn record(
    pass: &mut Pass<'_>,
    project: &Project,
    endpoint: Option<&Endpoint>,
    adopted: bool,
    effective: Option<Effective>,
) {
    pass.status.project = Some(ProjectStatus {
        id: project.id.to_string(),
        region: project.region_id.to_string(),
        name: project.name.clone(),
        branch_id: endpoint.map(|endpoint| endpoint.branch_id.to_string()),
        endpoint_id: endpoint.map(|endpoint| endpoint.id.to_string()),
        adopted,
        checked_at: Some(project.updated_at.to_string()),
    });
    pass.status.creation = None;
    pass.status.connection = None;
    pass.status.effective = effective;
    if let Some(timings) = &mut pass.status.timings
        && timings.project_ms.is_none()
    {
        timings.project_ms = timings
            .started_at
            .as_ref()
            .map(|start| millis_between(start.0, Timestamp::now()));
    }
}

/// Waits until operations of the project have ended, as far as the time allows.
pub(super) async fn operations_over(
    pass: &Pass<'_>,
    id: &ProjectId,
    operations: &[OperationId],
) -> Result<(), Failure> {
    const LIMIT: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(500);
    let neon = pass.account()?.neon();
    let until = Instant::now() + LIMIT;
    for operation in operations {
        loop {
            let state = neon.operations(id).get(*operation).send().await;
            let state = state.map_err(|error| {
                Failure::neon(Area::Project, "waiting for Neon's operation", &error)
            })?;
            if state.status.is_finished() {
                break;
            }
            if Instant::now() >= until {
                return Err(Failure::passing(
                    Area::Project,
                    Reason::OperationsRunning,
                    format!(
                        "operation {} of project {id} is {} still",
                        state.action, state.status
                    ),
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}
