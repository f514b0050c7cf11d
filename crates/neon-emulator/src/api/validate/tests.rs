use super::*;

fn project_spec(request: &CreateProject) -> Result<ProjectSpec, ApiError> {
    super::project_spec(request, Plan::default())
}

fn rejected_status(change: impl FnOnce(&mut CreateProject)) -> Option<u16> {
    let mut request = CreateProject::default();
    change(&mut request);
    project_spec(&request)
        .err()
        .map(|error| error.status.as_u16())
}

fn defaults(min: u16, max: u16, suspend: i64) -> DefaultEndpointSettings {
    DefaultEndpointSettings {
        autoscaling_limit_min_cu: Some(ComputeUnits::from_quarters(min)),
        autoscaling_limit_max_cu: Some(ComputeUnits::from_quarters(max)),
        suspend_timeout_seconds: Some(suspend),
        ..DefaultEndpointSettings::default()
    }
}

#[test]
fn an_empty_request_gets_neons_defaults() {
    let spec = project_spec(&CreateProject::default()).unwrap();
    assert_eq!(spec.region_id.as_str(), "aws-us-east-2");
    assert_eq!(
        (spec.pg_version, spec.history_retention_seconds),
        (18, 86_400)
    );
    assert_eq!(
        (spec.branch_name.as_str(), spec.database_name.as_str()),
        ("main", "neondb")
    );
    assert_eq!(spec.role_name.as_str(), "neondb_owner");
}

#[test]
fn the_owner_name_is_derived_from_the_database_name() {
    let request = CreateProject {
        branch: Some(neon_client::model::FirstBranch {
            database_name: Some("shop".parse().unwrap()),
            ..neon_client::model::FirstBranch::default()
        }),
        ..CreateProject::default()
    };
    assert_eq!(
        project_spec(&request).unwrap().role_name.as_str(),
        "shop_owner"
    );
}

#[test]
fn values_out_of_range_are_rejected() {
    assert_eq!(rejected_status(|r| r.name = Some(String::new())), Some(400));
    assert_eq!(
        rejected_status(|r| r.name = Some("x".repeat(257))),
        Some(400)
    );
    assert_eq!(rejected_status(|r| r.pg_version = Some(13)), Some(400));
    assert_eq!(
        rejected_status(|r| r.history_retention_seconds = Some(2_592_001)),
        Some(400)
    );
    assert_eq!(
        rejected_status(|r| r.region_id = Some("mars-1".parse().unwrap())),
        Some(422)
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(4, 1, 0))),
        Some(422)
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(3, 4, 0))),
        Some(422)
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(1, 64, 0))),
        Some(422)
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(1, 4, 59))),
        Some(400)
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(1, 4, -1))),
        None
    );
    assert_eq!(
        rejected_status(|r| r.default_endpoint_settings = Some(defaults(224, 224, 60))),
        None
    );
}

#[test]
fn allow_lists_accept_addresses_cidr_blocks_and_ranges() {
    let allowed = |text: &str| {
        rejected_status(|request| {
            let allowed_ips = Some(neon_client::model::AllowedIps {
                ips: Some(vec![text.into()]),
                ..Default::default()
            });
            request.settings = Some(ProjectSettings {
                allowed_ips,
                ..Default::default()
            });
        })
    };
    for text in [
        "10.0.0.1",
        "10.0.0.0/8",
        "::1",
        "2001:db8::/32",
        "10.0.0.1-10.0.0.9",
    ] {
        assert_eq!(allowed(text), None, "{text}");
    }
    for text in ["", "somewhere", "10.0.0.0/33", "10.0.0.1-x"] {
        assert_eq!(allowed(text), Some(422), "{text}");
    }
}
