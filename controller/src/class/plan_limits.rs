//! Compares a class with the plan of its Neon account. Pure.

use crds::TenantClassSpec;

use crate::accounts::PlanLimits;

/// Neon's suspend timeout of a project whose creation does not set one, in seconds. A limit of the
/// class that excludes it applies to Tenants that set none.
const DEFAULT_SUSPEND_TIMEOUT_SECONDS: i64 = 300;

/// The defaults and limits of the class that the plan does not allow, each with what it allows.
/// Empty for a plan that is not known.
pub fn exceeded(class: &TenantClassSpec, plan: &str) -> Vec<String> {
    let Some(allowed) = PlanLimits::of(plan) else {
        return Vec::new();
    };
    let (defaults, limits) = (&class.defaults, &class.limits);
    let compute = defaults.compute.unwrap_or_default();
    let mut exceeded = Vec::new();
    let mut report = |field: &str, value: String, is_allowed: bool, advice: String| {
        if !is_allowed {
            exceeded.push(format!("{field} {value} ({advice})"));
        }
    };
    for (field, size) in [
        ("defaults.compute.minCU", compute.min_cu),
        ("defaults.compute.maxCU", compute.max_cu),
        ("limits.minCU", limits.min_cu),
        ("limits.maxCU", limits.max_cu),
    ] {
        if let Some(size) = size {
            let advice = format!("at most {}", allowed.max_cu);
            report(field, size.to_string(), size <= allowed.max_cu, advice);
        }
    }
    for (field, seconds) in [
        (
            "defaults.compute.suspendTimeoutSeconds",
            compute.suspend_timeout_seconds,
        ),
        (
            "limits.minSuspendTimeoutSeconds",
            limits
                .min_suspend_timeout_seconds
                .filter(|min| *min > DEFAULT_SUSPEND_TIMEOUT_SECONDS),
        ),
        (
            "limits.maxSuspendTimeoutSeconds",
            limits
                .max_suspend_timeout_seconds
                .filter(|max| *max < DEFAULT_SUSPEND_TIMEOUT_SECONDS),
        ),
    ] {
        if let Some(seconds) = seconds {
            let advice = "remove it".to_owned();
            let is_allowed = allowed.allows_suspend_timeout(seconds);
            report(field, seconds.to_string(), is_allowed, advice);
        }
    }
    for (field, seconds) in [
        (
            "defaults.historyRetentionSeconds",
            defaults.history_retention_seconds,
        ),
        (
            "limits.maxHistoryRetentionSeconds",
            limits.max_history_retention_seconds,
        ),
    ] {
        if let Some(seconds) = seconds {
            let max = allowed.max_history_retention_seconds;
            report(
                field,
                seconds.to_string(),
                seconds <= max,
                format!("at most {max}"),
            );
        }
    }
    for (field, list) in [
        ("defaults.allowedIPs", &defaults.allowed_ips),
        ("limits.allowedIPs", &limits.allowed_ips),
    ] {
        if list.as_ref().is_some_and(|list| !list.is_empty()) {
            report(
                field,
                "is set".to_owned(),
                allowed.allows_ip_lists,
                "remove it".to_owned(),
            );
        }
    }
    exceeded
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(settings: &Value) -> TenantClassSpec {
        let mut spec = json!({"neon": {"apiKeySecretRef": {"name": "neon"}}});
        spec.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn each_default_and_limit_is_compared_with_the_plan() {
        let suspend =
            |seconds: i64| json!({"defaults": {"compute": {"suspendTimeoutSeconds": seconds}}});
        let history = |seconds: i64| json!({"defaults": {"historyRetentionSeconds": seconds}});
        let size = |cu: f64| json!({"defaults": {"compute": {"maxCU": cu}}});
        let ips = json!({"defaults": {"allowedIPs": ["192.0.2.1"]}});
        for (settings, refused_by) in [
            (json!({}), vec![]),
            (suspend(300), vec!["free", "launch"]),
            (suspend(0), vec!["free"]),
            (suspend(-1), vec!["free"]),
            (history(21_600), vec![]),
            (history(21_601), vec!["free"]),
            (history(604_801), vec!["free", "launch"]),
            (size(2.0), vec![]),
            (size(4.0), vec!["free"]),
            (size(18.0), vec!["free", "launch"]),
            (ips, vec!["free", "launch"]),
            (json!({"defaults": {"allowedIPs": []}}), vec![]),
            (json!({"limits": {"maxCU": 8}}), vec!["free"]),
            (
                json!({"limits": {"maxHistoryRetentionSeconds": 86_400}}),
                vec!["free"],
            ),
            (
                json!({"limits": {"allowedIPs": ["192.0.2.0/24"]}}),
                vec!["free", "launch"],
            ),
            // A Tenant that sets no timeout has Neon's default of 300 s, unless a limit excludes it.
            (json!({"limits": {"minSuspendTimeoutSeconds": 60}}), vec![]),
            (
                json!({"limits": {"minSuspendTimeoutSeconds": 600}}),
                vec!["free", "launch"],
            ),
            (json!({"limits": {"maxSuspendTimeoutSeconds": 600}}), vec![]),
            (
                json!({"limits": {"maxSuspendTimeoutSeconds": 60}}),
                vec!["free", "launch"],
            ),
        ] {
            let spec = class(&settings);
            let refusing: Vec<&str> = ["free", "launch", "scale", "agent", "unknown"]
                .into_iter()
                .filter(|plan| !exceeded(&spec, plan).is_empty())
                .collect();
            assert_eq!(refusing, refused_by, "{settings}");
        }
    }

    #[test]
    fn each_setting_is_named_with_what_the_plan_allows() {
        let spec = class(&json!({
            "defaults": {"compute": {"maxCU": 4, "suspendTimeoutSeconds": 60}, "historyRetentionSeconds": 86_400},
            "limits": {"allowedIPs": ["192.0.2.0/24"]},
        }));
        assert_eq!(
            exceeded(&spec, "free"),
            [
                "defaults.compute.maxCU 4 (at most 2)",
                "defaults.compute.suspendTimeoutSeconds 60 (remove it)",
                "defaults.historyRetentionSeconds 86400 (at most 21600)",
                "limits.allowedIPs is set (remove it)",
            ]
        );
    }
}
