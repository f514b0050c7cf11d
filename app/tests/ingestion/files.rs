//! The object store, as used by browsers and by the app.

use std::time::Duration;

use app::documents::{DocumentStatus, IngestError};
use app::objects::{CorsStatus, Disposition};
use aws_sdk_s3::types::{CorsConfiguration, CorsRule};

use crate::support::{BUCKET, World, pdf, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_serves_the_pdf_under_its_file_name() {
    let world = World::start().await;
    let bytes = pdf(1, "shown");
    let document = world.upload("Größe \"1\".pdf", &bytes).await;
    let key = world
        .objects
        .prefix(None, &world.workspace.id)
        .document(document);
    let disposition = Disposition::Inline {
        file_name: "Größe \"1\".pdf".to_owned(),
    };
    let url = world
        .objects
        .presign_get(&key, &disposition, Duration::from_mins(1))
        .await
        .unwrap();
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/pdf");
    assert_eq!(
        response.headers()["content-disposition"],
        "inline; filename=\"Gr__e _1_.pdf\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22.pdf"
    );
    assert_eq!(response.bytes().await.unwrap(), bytes);
    let other = url.replace(
        &document.to_string(),
        "0d3b7f0e-6f0e-4b6e-9d65-3f1f2f5a9d11",
    );
    assert_eq!(reqwest::get(other).await.unwrap().status(), 403);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_file_deletes_all_its_versions_and_no_other_file() {
    let world = World::start().await;
    let bytes = pdf(1, "versions");
    let document = world.upload("a.pdf", &bytes).await;
    let neighbor = world.upload("b.pdf", &pdf(1, "neighbor")).await;
    let prefix = world.objects.prefix(None, &world.workspace.id);
    let key = prefix.document(document);
    for _ in 0..2 {
        let sent = world
            .s3
            .client()
            .put_object()
            .bucket(BUCKET)
            .key(key.key())
            .body(bytes.clone().into())
            .send();
        sent.await.unwrap();
    }
    let removed = world.objects.delete(&key).await.unwrap();
    assert_eq!(removed.objects, 1);
    assert_eq!(removed.byte_count, 3 * bytes.len() as u64);
    let objects = world.s3.object_versions(BUCKET).await.unwrap();
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(objects[0].0, prefix.document(neighbor).key());
    assert_eq!(
        world.objects.delete_prefix(&prefix).await.unwrap().objects,
        1
    );
    assert_eq!(
        world.objects.delete_prefix(&prefix).await.unwrap().objects,
        0
    );
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_for_conditional_writes_leaves_nothing_behind() {
    let world = World::start().await;
    let supported = world.objects.supports_conditional_writes(BUCKET).await;
    assert!(supported.unwrap());
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_the_app_may_upload_and_read() {
    let world = World::start().await;
    let origin = "https://chat.example.org";
    let added = world.objects.allow_pages_of(origin).await.unwrap();
    assert_eq!(added, [(BUCKET.to_owned(), CorsStatus::Added)]);
    let again = world.objects.allow_pages_of(origin).await.unwrap();
    assert_eq!(again, [(BUCKET.to_owned(), CorsStatus::Present)]);
    let bytes = pdf(1, "cors");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(send(&pending, bytes).await, 200);
    let key = world
        .objects
        .prefix(None, &world.workspace.id)
        .document(pending.document);
    let disposition = Disposition::Inline {
        file_name: "a.pdf".to_owned(),
    };
    let ttl = Duration::from_mins(5);
    let file = world.objects.presign_get(&key, &disposition, ttl);
    let file = file.await.unwrap();
    for (from, allowed) in [(origin, true), ("https://other.example.org", false)] {
        let response = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, &pending.put.url)
            .header("origin", from)
            .header("access-control-request-method", "PUT")
            .header(
                "access-control-request-headers",
                "content-encoding,content-type,if-none-match,x-amz-checksum-sha256",
            )
            .send()
            .await
            .unwrap();
        let allowed_origin = response
            .headers()
            .get("access-control-allow-origin")
            .and_then(|value| value.to_str().ok());
        assert_eq!(
            allowed_origin == Some(from),
            allowed,
            "{from}: {allowed_origin:?}"
        );
        let read = reqwest::Client::new()
            .get(&file)
            .header("origin", from)
            .header("range", "bytes=0-4")
            .send()
            .await
            .unwrap();
        assert_eq!(read.status(), 206);
        let header = |name| {
            read.headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(header("access-control-allow-origin") == Some(from), allowed);
        let exposed = header("access-control-expose-headers").unwrap_or_default();
        assert_eq!(
            exposed.to_lowercase().contains("content-range"),
            allowed,
            "{exposed}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_an_earlier_version_is_replaced_by_one_that_allows_reading() {
    let world = World::start().await;
    let origin = "https://chat.example.org";
    let rule = CorsRule::builder()
        .id(format!("chat-app-uploads {origin}"))
        .allowed_origins(origin)
        .allowed_methods("PUT")
        .allowed_headers("*")
        .build()
        .unwrap();
    let rules = CorsConfiguration::builder().cors_rules(rule).build();
    world
        .s3
        .client()
        .put_bucket_cors()
        .bucket(BUCKET)
        .cors_configuration(rules.unwrap())
        .send()
        .await
        .unwrap();
    let added = world.objects.allow_pages_of(origin).await.unwrap();
    assert_eq!(added, [(BUCKET.to_owned(), CorsStatus::Added)]);
    let again = world.objects.allow_pages_of(origin).await.unwrap();
    assert_eq!(again, [(BUCKET.to_owned(), CorsStatus::Present)]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_on_one_bucket_keep_each_others_cors_rules() {
    let world = World::start().await;
    let origins = ["https://chat.example.org", "https://docs.example.org"];
    for (index, status) in [(0, CorsStatus::Added), (1, CorsStatus::Added)] {
        let added = world.objects.allow_pages_of(origins[index]).await;
        assert_eq!(added.unwrap(), [(BUCKET.to_owned(), status)]);
    }
    for origin in origins {
        let again = world.objects.allow_pages_of(origin).await.unwrap();
        assert_eq!(
            again,
            [(BUCKET.to_owned(), CorsStatus::Present)],
            "{origin}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_are_recorded_with_the_document() {
    let world = World::start().await;
    let whole = pdf(2, "damaged");
    // Point the second page at content that does not exist.
    let at = whole
        .windows(15)
        .position(|bytes| bytes == b"/Contents 7 0 R")
        .unwrap();
    let mut damaged = whole.clone();
    damaged[at + 10] = b'9';
    let document = world.upload("damaged.pdf", &damaged).await;
    world.ingest(document).await.unwrap();
    let row = world.row(document).await.unwrap();
    assert_eq!(row.state, DocumentStatus::Ready);
    assert_eq!(row.page_count, Some(2));
    let summary = row.page_summary.unwrap();
    assert_eq!(
        summary.warnings,
        ["Page 2 is damaged and could not be read."]
    );
    // As an earlier version has stored it.
    sqlx::query("UPDATE documents SET page_summary = NULL")
        .execute(&world.database)
        .await
        .unwrap();
    let row = world.row(document).await.unwrap();
    assert_eq!(row.page_summary.as_ref(), Some(&summary));
    sqlx::query("UPDATE documents SET page_report = '{}'")
        .execute(&world.database)
        .await
        .unwrap();
    let row = world.row(document).await.unwrap();
    assert_eq!(row.page_summary, Some(summary));
    let other = world.upload("whole.pdf", &whole).await;
    world.ingest(other).await.unwrap();
    assert_eq!(world.row(other).await.unwrap().page_summary, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_whose_values_the_database_rejects_fails_at_the_first_attempt() {
    let world = World::start().await;
    sqlx::query("ALTER TABLE documents ADD CHECK (page_count <> 2)")
        .execute(&world.database)
        .await
        .unwrap();
    let document = world.upload("a.pdf", &pdf(2, "rejected")).await;
    world.ingest(document).await.unwrap();
    let failed = DocumentStatus::Failed(IngestError::File(pdf_text::DocumentError::Internal));
    assert_eq!(world.state(document).await, failed);
    world.stop().await;
}
