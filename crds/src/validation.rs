//! Validation of single values by the API server. Each type here exists only for its JSON schema
//! and is referenced with `#[schemars(with = ..)]`.
//!
//! Ranges and lengths use OpenAPI keywords, which editors understand as well. Everything else is a
//! CEL rule whose message says what to write instead. Every string and every list has an upper
//! bound, because the API server estimates the cost of a rule from it and rejects a CRD whose rules
//! have no bound.
//!
//! The limits are Neon's: compute sizes, reserved role names and allow list formats come from its
//! documentation; ranges and id patterns come from its OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares types that exist only for their schema.
macro_rules! schema_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:tt;)+) => {
        $(
            $(#[doc = $doc])+
            pub(crate) struct $name;

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

schema_types! {
    /// Compute size in CU. Neon autoscales in steps of 0.25 CU up to 16 CU, and offers fixed sizes
    /// in even numbers up to 56 CU.
    ComputeSize = {
        "type": "number",
        "format": "double",
        "x-kubernetes-validations": [{
            "rule": "(self >= 0.25 && self <= 16.0 && self * 4.0 == double(int(self * 4.0))) \
                     || (self >= 18.0 && self <= 56.0 && self / 2.0 == double(int(self / 2.0)))",
            "message": "must be a multiple of 0.25 from 0.25 to 16 CU, or an even number from 18 to 56 CU",
        }],
    };

    /// Idle time in seconds after which a compute is suspended.
    SuspendTimeout = {
        "type": "integer",
        "format": "int64",
        "x-kubernetes-validations": [{
            "rule": "self == -1 || self == 0 || (self >= 60 && self <= 604800)",
            "message": "must be 60 to 604800 seconds (1 minute to 1 week), 0 for Neon's default, or -1 for never",
        }],
    };

    /// Bound of the idle time in seconds after which a compute is suspended.
    SuspendTimeoutLimit = { "type": "integer", "format": "int64", "minimum": 60, "maximum": 604_800 };

    /// Number of Tenants.
    TenantCount = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000 };

    /// Number of Tenants, at least one.
    PositiveCount = { "type": "integer", "format": "int64", "minimum": 1, "maximum": 1_000_000 };

    /// Time in seconds, up to a week.
    SecondsUpToAWeek = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 604_800 };

    /// Time in seconds, up to 30 days.
    SecondsUpToAMonth = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 2_592_000 };

    /// Time in seconds, from ten seconds to a week.
    DeadlineSeconds = { "type": "integer", "format": "int64", "minimum": 10, "maximum": 604_800 };

    /// Name of a time zone. The controller reports an unknown one.
    TimeZoneName = {
        "type": "string",
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
            "message": "must be the name of a time zone, such as Europe/Berlin",
        }],
    };

    /// Hours and minutes.
    TimeOfDay = {
        "type": "string",
        "maxLength": 5,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",
            "message": "must be a time from 00:00 to 23:59, such as 22:00",
        }],
    };

    /// Time in seconds until a branch expires, which Neon limits to 30 days.
    BackupExpirySeconds = { "type": "integer", "format": "int64", "minimum": 3_600, "maximum": 2_592_000 };

    /// Digest of a set of migrations.
    SchemaDigest = { "type": "string", "maxLength": 128 };

    /// Versions of migrations.
    SchemaVersions = {
        "type": "array",
        "maxItems": 10_000,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "integer", "format": "int64" },
    };

    /// Share in percent.
    Percent = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 100 };

    /// Name of a controller: a domain, a slash and a path, as in an `IngressClass`.
    ControllerName = {
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9/._~-]+$')",
            "message": "must be a domain and a path, such as dbpertenant.dev/tenant-controller",
        }],
    };

    /// Restore window in seconds, up to 30 days.
    HistoryRetention = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 2_592_000 };

    /// Amount of a quota, in the unit of its field.
    QuotaAmount = { "type": "integer", "format": "int64", "minimum": 0 };

    /// Postgres major version that Neon supports.
    PostgresVersion = { "type": "integer", "format": "int32", "minimum": 14, "maximum": 18 };

    /// Postgres major versions that Neon supports.
    PostgresVersions = {
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": { "type": "integer", "format": "int32", "minimum": 14, "maximum": 18 },
    };

    /// Neon region. Only the format is checked, because Neon adds regions over time.
    Region = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z]+(-[a-z0-9]+)+$')",
            "message": "must be a Neon region id, such as aws-eu-central-1",
        }],
    };

    /// Neon regions.
    Regions = {
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 63,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^[a-z]+(-[a-z0-9]+)+$')",
                "message": "must be a Neon region id, such as aws-eu-central-1",
            }],
        },
    };

    /// Display name. It becomes part of the Neon project's name, which is limited to 256
    /// characters.
    DisplayName = {
        "type": "string",
        "minLength": 1,
        "maxLength": 120,
        "x-kubernetes-validations": [{
            "rule": "!self.matches('[[:cntrl:]]')",
            "message": "must be a single line without control characters",
        }],
    };

    /// IP allow list in Neon's format: addresses, address ranges and CIDR blocks.
    AllowedIps = {
        "type": "array",
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            // Two IPv6 addresses of maximum length and a dash.
            "maxLength": 79,
            "x-kubernetes-validations": [{
                "rule": "isIP(self) || isCIDR(self) || (self.split('-').size() == 2 \
                         && self.split('-').all(end, isIP(end)) \
                         && ip(self.split('-')[0]).family() == ip(self.split('-')[1]).family())",
                "message": "must be an IP address (192.0.2.1), a CIDR block (203.0.113.0/24, 2001:db8::/48) \
                            or a range (198.51.100.20-198.51.100.50)",
            }],
        },
    };

    /// Database name that both Postgres and Neon accept.
    DatabaseName = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [
            {
                "rule": "self != '' && bytes(self).size() <= 63",
                "message": "a database name must be 1 to 63 bytes long in UTF-8",
            },
            {
                "rule": "!self.matches('[[:cntrl:]]')",
                "message": "a database name must not contain control characters",
            },
            {
                // URL parsers remove these path segments.
                "rule": "self != '.' && self != '..'",
                "message": "a database name must not be '.' or '..', because URL parsers remove them from a connection string; choose another name, such as neondb",
            },
            {
                "rule": "!(self in ['postgres', 'template0', 'template1'])",
                "message": "postgres, template0 and template1 are reserved by the server; choose another name, such as neondb",
            },
        ],
    };

    /// Role name that both Postgres and Neon accept.
    RoleName = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [
            {
                "rule": "self != '' && bytes(self).size() <= 63",
                "message": "a role name must be 1 to 63 bytes long in UTF-8",
            },
            {
                "rule": "!self.matches('[[:cntrl:]]')",
                "message": "a role name must not contain control characters",
            },
            {
                "rule": "!self.startsWith('pg_') && !(self in ['postgres', 'public', 'none', 'cloud_admin', \
                         'zenith_admin', 'neon_superuser', 'neon_service', 'web_access'])",
                "message": "this role name is reserved by Postgres or Neon, as is every name that starts with pg_; choose another name, such as neondb_owner",
            },
        ],
    };

    /// Id of a Neon project.
    ProjectId = {
        "type": "string",
        "maxLength": 60,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9-]+$')",
            "message": "must be the id of a Neon project (not its name), such as quiet-river-12345678",
        }],
    };

    /// Name of a namespace (a DNS-1123 label).
    NamespaceName = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "message": "must be the name of a namespace: lower-case letters, digits and '-', starting and ending with a letter or digit",
        }],
    };

    /// Names of namespaces.
    NamespaceNames = {
        "type": "array",
        "maxItems": 1024,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 63,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
                "message": "must be the name of a namespace: lower-case letters, digits and '-', starting and ending with a letter or digit",
            }],
        },
    };

    /// Label selector, as in other Kubernetes objects.
    ObjectSelector = {
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that an object must have.",
                "type": "object",
                "maxProperties": 64,
                "additionalProperties": { "type": "string", "maxLength": 63 },
            },
            "matchExpressions": {
                "description": "Requirements that the labels of an object must meet.",
                "type": "array",
                "maxItems": 64,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 317,
                        },
                        "operator": {
                            "description": "How the label is compared with `values`.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values of the label. Required with `In` and `NotIn`, and not allowed otherwise.",
                            "type": "array",
                            "maxItems": 256,
                            "x-kubernetes-list-type": "set",
                            "items": { "type": "string", "maxLength": 63 },
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                        "message": "values is required with the operators In and NotIn, and not allowed with Exists and DoesNotExist",
                    }],
                },
            },
        },
    };

    /// Id of a Neon organization.
    OrgId = {
        "type": "string",
        "maxLength": 60,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9-]+$')",
            "message": "must be the id of a Neon organization (not its name), such as org-quiet-river-12345678",
        }],
    };

    /// Base URL of the Neon API.
    BaseUrl = {
        "type": "string",
        "maxLength": 2048,
        "x-kubernetes-validations": [{
            "rule": "isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != '' \
                     && !self.matches('[?#@]')",
            "message": "must be an http or https URL with a host and without query or credentials, such as https://console.neon.tech/api/v2",
        }],
    };

    /// PEM certificates. The limit keeps Secrets small: the bundle is copied into every connection
    /// Secret, and a private certificate authority needs a few KiB.
    CaBundle = {
        "type": "string",
        "maxLength": 65_536,
        "x-kubernetes-validations": [{
            "rule": "self.startsWith('-----BEGIN CERTIFICATE-----')",
            "message": "must be PEM certificates that start with -----BEGIN CERTIFICATE-----",
        }],
    };

    /// Name of a Kubernetes object (a DNS-1123 subdomain).
    ObjectName = {
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')",
            "message": "must consist of lower-case letters, digits, '-' and '.', and start and end with a letter or digit, such as my-name",
        }],
    };

    /// Key in the data of a Secret.
    SecretKey = {
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[-._a-zA-Z0-9]+$')",
            "message": "a Secret key must consist of letters, digits, '-', '_' and '.', such as api-key",
        }],
    };
}
