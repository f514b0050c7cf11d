//! The store of files, as browsers and the app use it.

use std::time::Duration;

use app::documents::State;
use app::objects::{Cors, Disposition};

use crate::support::{BUCKET, World, pdf};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_url_shows_the_pdf_as_a_pdf_under_its_name() {
    let world = World::start().await;
    let bytes = pdf(1, "shown");
    let document = world.bring("Größe \"1\".pdf", &bytes).await;
    let place = world
        .objects
        .prefix(None, &world.workspace.id)
        .document(document);
    let disposition = Disposition::Inline {
        file_name: "Größe \"1\".pdf".to_owned(),
    };
    let url = world
        .objects
        .presign_get(&place, &disposition, Duration::from_mins(1))
        .await
        .unwrap();
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    assert_eq!(
        answer.headers()["content-disposition"],
        "inline; filename=\"Gr__e _1_.pdf\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22.pdf"
    );
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    let other = url.replace(
        &document.to_string(),
        "0d3b7f0e-6f0e-4b6e-9d65-3f1f2f5a9d11",
    );
    assert_eq!(reqwest::get(other).await.unwrap().status(), 403);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_takes_every_version_of_a_file_and_nothing_of_its_neighbours() {
    let world = World::start().await;
    let bytes = pdf(1, "versions");
    let document = world.bring("a.pdf", &bytes).await;
    let neighbour = world.bring("b.pdf", &pdf(1, "neighbour")).await;
    let prefix = world.objects.prefix(None, &world.workspace.id);
    let place = prefix.document(document);
    for _ in 0..2 {
        let sent = world
            .s3
            .client()
            .put_object()
            .bucket(BUCKET)
            .key(place.key())
            .body(bytes.clone().into())
            .send();
        sent.await.unwrap();
    }
    let removed = world.objects.remove(&place).await.unwrap();
    assert_eq!(removed.objects, 1);
    assert_eq!(removed.byte_count, 3 * bytes.len() as u64);
    let kept = world.s3.object_versions(BUCKET).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].0, prefix.document(neighbour).key());
    assert_eq!(
        world.objects.remove_prefix(&prefix).await.unwrap().objects,
        1
    );
    assert_eq!(
        world.objects.remove_prefix(&prefix).await.unwrap().objects,
        0
    );
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_on_the_apps_pages_may_send_and_others_may_not() {
    let world = World::start().await;
    let origin = "https://chat.example.org";
    let added = world.objects.allow_uploads_from(origin).await.unwrap();
    assert_eq!(added, [(BUCKET.to_owned(), Cors::Added)]);
    let again = world.objects.allow_uploads_from(origin).await.unwrap();
    assert_eq!(again, [(BUCKET.to_owned(), Cors::Present)]);
    let begun = world.begin("a.pdf", &pdf(1, "cors")).await.unwrap();
    for (from, allowed) in [(origin, true), ("https://other.example.org", false)] {
        let answer = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, &begun.put.url)
            .header("origin", from)
            .header("access-control-request-method", "PUT")
            .header(
                "access-control-request-headers",
                "content-type,x-amz-checksum-sha256",
            )
            .send()
            .await
            .unwrap();
        let told = answer
            .headers()
            .get("access-control-allow-origin")
            .and_then(|value| value.to_str().ok());
        assert_eq!(told == Some(from), allowed, "{from}: {told:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_in_a_file_that_can_be_read_is_kept_with_it() {
    let world = World::start().await;
    let whole = pdf(2, "damaged");
    // The content of the second page is nowhere in the file.
    let at = whole
        .windows(15)
        .position(|bytes| bytes == b"/Contents 7 0 R")
        .unwrap();
    let mut damaged = whole.clone();
    damaged[at + 10] = b'9';
    let document = world.bring("damaged.pdf", &damaged).await;
    world.ingest(document).await.unwrap();
    let row = world.row(document).await.unwrap();
    assert_eq!(row.state, State::Ready);
    assert_eq!(
        (row.page_count, &row.unreadable_pages[..]),
        (Some(2), &[2][..])
    );
    let other = world.bring("whole.pdf", &whole).await;
    world.ingest(other).await.unwrap();
    assert_eq!(world.row(other).await.unwrap().unreadable_pages, [0_u32; 0]);
    world.stop().await;
}
