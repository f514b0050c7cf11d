//! Settings of the object store.

use clap::ArgAction;
use service_kit::settings::values as common;
use url::Url;

use super::values::{self, Buckets};

/// The S3 server. Credentials come from the standard AWS environment, as for any AWS client.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Files")]
pub struct Objects {
    /// Bucket for workspaces whose region has no bucket of its own
    #[arg(long, value_name = "NAME", value_parser = values::bucket)]
    pub bucket: String,
    /// Buckets of regions, as region=bucket, separated by commas, so that files are stored in the
    /// region of the workspace's database
    #[arg(long, value_name = "BUCKETS", default_value = "", value_parser = values::buckets)]
    pub region_buckets: Buckets,
    /// Region for which requests to S3 are signed
    #[arg(id = "s3-region", long = "s3-region", value_name = "REGION", default_value = "us-east-1", value_parser = values::word)]
    pub region: String,
    /// URL of the S3 server; if not set, AWS
    #[arg(id = "s3-endpoint", long = "s3-endpoint", value_name = "URL", value_parser = common::http_url)]
    pub endpoint: Option<Url>,
    /// URL of the S3 server for browsers, if it differs
    #[arg(id = "s3-public-endpoint", long = "s3-public-endpoint", value_name = "URL", value_parser = common::http_url)]
    pub public_endpoint: Option<Url>,
    /// Whether the bucket is part of the URL's path instead of its host name: true or false
    #[arg(id = "s3-path-style", long = "s3-path-style", value_name = "BOOL", default_value = "false", action = ArgAction::Set, value_parser = values::boolean)]
    pub path_style: bool,
}

impl Objects {
    /// The bucket of a workspace in this region; `None` is the region that its class chose.
    pub fn bucket(&self, region: Option<&str>) -> &str {
        region
            .and_then(|region| self.region_buckets.0.get(region))
            .unwrap_or(&self.bucket)
    }

    /// Every bucket, each once.
    pub fn all_buckets(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.region_buckets.0.values().map(String::as_str).collect();
        all.push(&self.bucket);
        all.sort_unstable();
        all.dedup();
        all
    }
}
