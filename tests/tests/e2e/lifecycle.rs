//! From apply to Ready, as people see it.

use anyhow::{Result, ensure};
use crds::keys;
use dbpertenant_tests::Case;
use serde_json::json;

dbpertenant_tests::tests![a_tenant_that_asks_for_nothing_becomes_a_database];

async fn a_tenant_that_asks_for_nothing_becomes_a_database(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let one = case.psql(&tenant, keys::URI, "select 1").await?;
    ensure!(one == "1", "{one}");
    Ok(())
}
