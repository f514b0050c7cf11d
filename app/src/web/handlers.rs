//! What answers each address. Handlers stay thin: extractor, domain function, page. Each area has a file, and says its routes there.

use super::router::Route;

/// All routes, area by area.
pub(super) fn routes() -> Vec<Route> {
    let areas: [fn() -> Vec<Route>; 0] = [];
    areas.iter().flat_map(|area| area()).collect()
}
