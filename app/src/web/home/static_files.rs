//! Serves the embedded assets.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::web::shared::Problem;
use crate::web::shared::assets;

/// One year: file names contain a hash of the content.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// `GET /assets/{folder}/{file}`.
pub(super) async fn serve_from_folder(
    Path((folder, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    serve(Path(format!("{folder}/{file}")), headers).await
}

/// `GET /assets/{file}`.
pub(super) async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = assets::find(&file) else {
        return Problem::not_found().into_response();
    };
    let mut response = match asset.gzip {
        Some(gzip) if accepts_gzip(&headers) => {
            ([(header::CONTENT_ENCODING, "gzip")], gzip).into_response()
        }
        _ => asset.bytes.into_response(),
    };
    let out = response.headers_mut();
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    out.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Whether `Accept-Encoding` lists gzip with a weight other than zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = parts.any(|weight| {
                weight
                    .strip_prefix("q=")
                    .is_some_and(|q| q.parse() == Ok(0.0_f32))
            });
            named && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::shared::assets::{APP_CSS, PDF_RESOURCES};
    use axum::http::StatusCode;

    async fn get(file: &str, encoding: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        serve(Path(file.to_owned()), headers).await
    }

    #[tokio::test]
    async fn a_stylesheet_is_cacheable_and_compressed_if_the_client_accepts_gzip() {
        let file = APP_CSS.trim_start_matches("/assets/");
        let response = get(file, "br, gzip;q=0.8").await;
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(
            headers[header::CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
        for refused in ["identity", "gzip;q=0", "br"] {
            let response = get(file, refused).await;
            assert_eq!(
                response.headers().get(header::CONTENT_ENCODING),
                None,
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn files_that_pdf_js_requests_by_name_are_in_a_folder() {
        let folder = PDF_RESOURCES
            .trim_start_matches("/assets/")
            .trim_end_matches('/');
        for (file, media_type) in [
            ("UniGB-UCS2-H.bcmap", "application/octet-stream"),
            ("FoxitSerif.pfb", "application/octet-stream"),
            ("LiberationSans-Regular.ttf", "font/ttf"),
            (
                "openjpeg_nowasm_fallback.js",
                "text/javascript; charset=utf-8",
            ),
        ] {
            let path = Path((folder.to_owned(), file.to_owned()));
            let response = serve_from_folder(path, HeaderMap::new()).await;
            assert_eq!(response.status(), StatusCode::OK, "{file}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], media_type);
        }
    }

    #[tokio::test]
    async fn an_unknown_file_is_not_found() {
        for file in ["app.css", "../Cargo.toml", ""] {
            assert_eq!(
                get(file, "gzip").await.status(),
                StatusCode::NOT_FOUND,
                "{file:?}"
            );
        }
    }
}
