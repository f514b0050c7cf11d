use super::*;

fn refusal(change: impl FnOnce(&mut CreateProject)) -> Option<u16> {
    let mut request = CreateProject::default();
    change(&mut request);
    shape(&request).err().map(|error| error.status.as_u16())
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
    let shape = shape(&CreateProject::default()).unwrap();
    assert_eq!(shape.region_id.as_str(), "aws-us-east-2");
    assert_eq!(
        (shape.pg_version, shape.history_retention_seconds),
        (17, 86_400)
    );
    assert_eq!(
        (shape.branch_name.as_str(), shape.database_name.as_str()),
        ("main", "neondb")
    );
    assert_eq!(shape.role_name.as_str(), "neondb_owner");
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
    assert_eq!(shape(&request).unwrap().role_name.as_str(), "shop_owner");
}

#[test]
fn values_out_of_range_are_rejected() {
    assert_eq!(refusal(|r| r.name = Some(String::new())), Some(400));
    assert_eq!(refusal(|r| r.name = Some("x".repeat(257))), Some(400));
    assert_eq!(refusal(|r| r.pg_version = Some(13)), Some(400));
    assert_eq!(
        refusal(|r| r.history_retention_seconds = Some(2_592_001)),
        Some(400)
    );
    assert_eq!(
        refusal(|r| r.region_id = Some("mars-1".parse().unwrap())),
        Some(422)
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(4, 1, 0))),
        Some(422)
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(3, 4, 0))),
        Some(422)
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(1, 64, 0))),
        Some(422)
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(1, 4, 59))),
        Some(400)
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(1, 4, -1))),
        None
    );
    assert_eq!(
        refusal(|r| r.default_endpoint_settings = Some(defaults(224, 224, 60))),
        None
    );
}

#[test]
fn allow_lists_accept_addresses_cidr_blocks_and_ranges() {
    let allowed = |text: &str| {
        refusal(|request| {
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
