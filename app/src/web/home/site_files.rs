//! The files that browsers and search engines request by a fixed name.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use serde_json::json;

use crate::web::shared::assets;
use crate::web::shared::pages::PRODUCT;

/// A day: the names have no hash of the content.
const CACHE_CONTROL: (HeaderName, HeaderValue) = (
    header::CACHE_CONTROL,
    HeaderValue::from_static("public, max-age=86400"),
);
/// Everything but the landing page is private.
const ROBOTS: &str = "User-agent: *\nAllow: /$\nAllow: /assets/\nDisallow: /\n";
/// The color of the icon.
const THEME_COLOR: &str = "#4338ca";

/// `GET /favicon.ico`, for browsers and tools that ignore the links of the page.
pub(super) async fn favicon() -> impl IntoResponse {
    (
        [CACHE_CONTROL, media_type("image/x-icon")],
        include_bytes!("../../../assets/favicon.ico").as_slice(),
    )
}

/// `GET /robots.txt`.
pub(super) async fn robots() -> impl IntoResponse {
    (
        [CACHE_CONTROL, media_type("text/plain; charset=utf-8")],
        ROBOTS,
    )
}

/// `GET /manifest.webmanifest`, which lets users install the app.
pub(super) async fn manifest() -> impl IntoResponse {
    let png = |path: &str, size: u32| json!({ "src": path, "sizes": format!("{size}x{size}"), "type": "image/png" });
    let manifest = json!({
        "name": PRODUCT,
        "short_name": PRODUCT,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "theme_color": THEME_COLOR,
        "background_color": "#ffffff",
        "icons": [
            { "src": assets::FAVICON_SVG, "sizes": "any", "type": "image/svg+xml" },
            png(assets::ICON_192_PNG, 192),
            png(assets::ICON_512_PNG, 512),
        ],
    });
    (
        [CACHE_CONTROL, media_type("application/manifest+json")],
        manifest.to_string(),
    )
}

fn media_type(name: &'static str) -> (HeaderName, HeaderValue) {
    (header::CONTENT_TYPE, HeaderValue::from_static(name))
}
