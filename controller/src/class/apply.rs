//! Writes the finalizers of a class.

use crds::TenantClass;

use super::plan::ClassStep;
use crate::cluster::ClusterError;
use crate::context::Context;

/// Executes the step and returns the written class; `None` if the class is gone afterwards.
pub async fn apply(
    ctx: &Context,
    class: &TenantClass,
    step: Option<ClassStep>,
) -> Result<Option<TenantClass>, ClusterError> {
    let deleting = class.metadata.deletion_timestamp.is_some();
    let (list, gone) = match step {
        None => return Ok(Some(class.clone())),
        Some(ClassStep::AddFinalizer(list)) => (list, false),
        Some(ClassStep::RemoveFinalizer(list)) => (list, deleting),
    };
    match ctx.cluster.set_class_finalizers(class, &list).await {
        Ok(written) => Ok(Some(written).filter(|_| !gone)),
        Err(ClusterError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
