//! What the API server checks of single values: one type a value, used in the schema only (`#[schemars(with = ..)]`).
//!
//! Plain ranges and lengths are said in OpenAPI's own words, so that editors know them too. What those cannot say is a
//! CEL rule with a message that says what to write instead. Every text and every list has an upper bound: the API
//! server estimates the cost of a rule from it, and refuses a CRD whose rules could grow without limit.
//!
//! The facts are Neon's: sizes of computes, protected role names and the forms of an allow list as its documentation
//! gives them, ranges and id patterns as its API declares them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares types that exist for their schema alone.
macro_rules! bounds {
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

bounds! {
    /// Size of a compute. Neon offers autoscaling in quarters of a CU up to 16, and fixed sizes in even numbers up to 56.
    ComputeSize = {
        "type": "number",
        "format": "double",
        "x-kubernetes-validations": [{
            "rule": "(self >= 0.25 && self <= 16.0 && self * 4.0 == double(int(self * 4.0))) \
                     || (self >= 18.0 && self <= 56.0 && self / 2.0 == double(int(self / 2.0)))",
            "message": "a compute size is a multiple of 0.25 from 0.25 to 16 CU, or an even number from 18 to 56 CU",
        }],
    };

    /// Idle time until a compute sleeps, in seconds.
    SuspendTimeout = {
        "type": "integer",
        "format": "int64",
        "x-kubernetes-validations": [{
            "rule": "self == -1 || self == 0 || (self >= 60 && self <= 604800)",
            "message": "write 60 to 604800 seconds (1 minute to 1 week), 0 for Neon's default, or -1 for never",
        }],
    };

    /// How far back Neon can restore, in seconds: up to 30 days.
    HistoryRetention = { "type": "integer", "format": "int64", "minimum": 0, "maximum": 2_592_000 };

    /// An amount of a quota.
    QuotaAmount = { "type": "integer", "format": "int64", "minimum": 0 };

    /// A Postgres major version that Neon runs.
    PostgresVersion = { "type": "integer", "format": "int32", "minimum": 14, "maximum": 18 };

    /// Postgres major versions that Neon runs.
    PostgresVersions = {
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": { "type": "integer", "format": "int32", "minimum": 14, "maximum": 18 },
    };

    /// A Neon region. Neon adds regions now and then: the form is checked, not the name.
    Region = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z]+(-[a-z0-9]+)+$')",
            "message": "a region is written as Neon writes it: cloud and place, such as aws-eu-central-1",
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
                "message": "a region is written as Neon writes it: cloud and place, such as aws-eu-central-1",
            }],
        },
    };

    /// A name for people. It becomes a part of the project's name in Neon, which holds 256 characters.
    DisplayName = {
        "type": "string",
        "minLength": 1,
        "maxLength": 120,
        "x-kubernetes-validations": [{
            "rule": "!self.matches('[[:cntrl:]]')",
            "message": "a display name is one line of printable text",
        }],
    };

    /// Who may connect: addresses, ranges of addresses, CIDR blocks, as in Neon's allow list.
    AllowedIps = {
        "type": "array",
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            // Two of the longest IPv6 addresses with a dash between them.
            "maxLength": 79,
            "x-kubernetes-validations": [{
                "rule": "isIP(self) || isCIDR(self) || (self.split('-').size() == 2 \
                         && self.split('-').all(end, isIP(end)) \
                         && ip(self.split('-')[0]).family() == ip(self.split('-')[1]).family())",
                "message": "write an IP address (192.0.2.1), a CIDR block (203.0.113.0/24, 2001:db8::/48) \
                            or a range (198.51.100.20-198.51.100.50)",
            }],
        },
    };

    /// Name of a database, as Postgres and Neon accept it.
    DatabaseName = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [
            {
                "rule": "self != '' && bytes(self).size() <= 63",
                "message": "a database's name has 1 to 63 bytes in UTF-8",
            },
            {
                "rule": "!self.matches('[[:cntrl:]]')",
                "message": "a database's name has no control characters; write printable text",
            },
            {
                // URL parsers take these for steps in a path and drop them.
                "rule": "self != '.' && self != '..'",
                "message": "the names '.' and '..' do not survive in a connection string; choose another name, such as neondb",
            },
            {
                "rule": "!(self in ['postgres', 'template0', 'template1'])",
                "message": "postgres, template0 and template1 belong to the server; choose another name, such as neondb",
            },
        ],
    };

    /// Name of a role, as Postgres and Neon accept it.
    RoleName = {
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [
            {
                "rule": "self != '' && bytes(self).size() <= 63",
                "message": "a role's name has 1 to 63 bytes in UTF-8",
            },
            {
                "rule": "!self.matches('[[:cntrl:]]')",
                "message": "a role's name has no control characters; write printable text",
            },
            {
                "rule": "!self.startsWith('pg_') && !(self in ['postgres', 'public', 'none', 'cloud_admin', \
                         'zenith_admin', 'neon_superuser', 'neon_service', 'web_access'])",
                "message": "this role is Neon's or Postgres' own (as is every name that begins with pg_); choose another name, such as neondb_owner",
            },
        ],
    };

    /// Id of a Neon project.
    ProjectId = {
        "type": "string",
        "maxLength": 60,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9-]+$')",
            "message": "write the project's id as Neon shows it (not its name), such as quiet-river-12345678",
        }],
    };

    /// Ids of Neon projects. The list is replaced as a whole: whoever allows adoption wants to read all of it at once.
    ProjectIds = {
        "type": "array",
        "maxItems": 1024,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "string",
            "maxLength": 60,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^[a-z0-9-]+$')",
                "message": "write the project's id as Neon shows it (not its name), such as quiet-river-12345678",
            }],
        },
    };

    /// Id of a Neon organisation.
    OrgId = {
        "type": "string",
        "maxLength": 60,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9-]+$')",
            "message": "write the organisation's id as Neon shows it (not its name), such as org-quiet-river-12345678",
        }],
    };

    /// Base URL of the Neon API.
    BaseUrl = {
        "type": "string",
        "maxLength": 2048,
        "x-kubernetes-validations": [{
            "rule": "isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != '' \
                     && !self.matches('[?#@]')",
            "message": "write a URL with scheme and host, and without query or credentials, such as https://console.neon.tech/api/v2",
        }],
    };

    /// PEM certificates. They are copied into every Secret, and those of one's own authority need a few KiB.
    CaBundle = {
        "type": "string",
        "maxLength": 65_536,
        "x-kubernetes-validations": [{
            "rule": "self.startsWith('-----BEGIN CERTIFICATE-----')",
            "message": "write certificates in PEM form; the text begins with -----BEGIN CERTIFICATE-----",
        }],
    };

    /// Name of an object of Kubernetes (a DNS-1123 subdomain).
    ObjectName = {
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')",
            "message": "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit, such as my-name",
        }],
    };

    /// A key of a Secret.
    SecretKey = {
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[-._a-zA-Z0-9]+$')",
            "message": "a key of a Secret has letters, digits, '-', '_' and '.', such as api-key",
        }],
    };
}
