//! An HTTP client of the chat app that behaves like a browser: it keeps cookies, sends CSRF tokens
//! and forms, uploads files and follows event streams. The demo's smoke test uses it, and so do the
//! tests that need no real browser.

mod event_stream;
mod page;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use self::event_stream::{Event, EventStream};
pub use self::page::Page;

const MAX_REDIRECTS: usize = 5;
/// From a request to the head of its response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// One browser session. It does not cache pages.
#[derive(Debug)]
pub struct AppClient {
    http: Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
    /// The token of the last page.
    csrf: Mutex<String>,
}

/// A row of the document list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    pub document_id: String,
    /// `uploading`, `queued`, `working`, `ready`, `failed` or `deleting`.
    pub state: String,
    /// The row's visible text.
    pub text: String,
}

/// Where and how to upload a file, as the app's pages get it.
#[derive(Debug, Clone)]
pub struct Upload {
    pub document_id: String,
    url: String,
    headers: Value,
}

impl AppClient {
    /// A session without cookies. `origin` is the app's public URL.
    pub fn new(origin: &str) -> Result<Self> {
        Ok(Self {
            http: Client::builder()
                .redirect(redirect::Policy::none())
                .build()?,
            origin: origin.to_owned(),
            cookies: Mutex::default(),
            csrf: Mutex::default(),
        })
    }

    // --- requests ---

    /// Navigates to a page and follows redirects within the app.
    pub async fn get(&self, path: &str) -> Result<Page> {
        self.follow(as_navigation(self.request(Method::GET, path)))
            .await
    }

    /// Submits a form with the CSRF token of the last page, and follows redirects.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let token = self.csrf.lock().clone();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &token);
        form.extend_pairs(fields);
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        self.follow(as_navigation(request)).await
    }

    /// Posts JSON with the CSRF token in a header, as the pages' scripts do. An empty response body
    /// becomes `null`.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let token = self.csrf.lock().clone();
        let request = self
            .request(Method::POST, path)
            .header("x-csrf-token", token)
            .header("accept", "application/json")
            .json(body);
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((status, value))
    }

    /// Subscribes to a stream of server-sent events.
    pub async fn subscribe(&self, path: &str) -> Result<EventStream> {
        let request = self
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        let response = self.send(request).await?;
        ensure!(
            response.status().is_success(),
            "GET {path} returned {}",
            response.status()
        );
        Ok(EventStream::new(response))
    }

    /// Sends a request with the session's cookies and CSRF token. Does not follow redirects.
    pub async fn fetch(&self, method: Method, path: &str) -> Result<Response> {
        let token = self.csrf.lock().clone();
        let request = self.request(method, path).header("x-csrf-token", token);
        self.send(request).await
    }

    /// A request with the session's cookies, which the caller completes and sends.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.origin)
        } else {
            path.to_owned()
        };
        let is_write = method != Method::GET;
        let mut request = self.http.request(method, url);
        let cookies: Vec<String> = self
            .cookies
            .lock()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if is_write {
            // Browsers add these headers to requests of the site's own pages.
            request = request
                .header(ORIGIN, &self.origin)
                .header("sec-fetch-site", "same-origin");
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = tokio::time::timeout(RESPONSE_TIMEOUT, request.send())
            .await
            .context("the app does not respond")??;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                let mut cookies = self.cookies.lock();
                if value.is_empty() {
                    cookies.remove(name);
                } else {
                    cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(response)
    }

    async fn follow(&self, request: RequestBuilder) -> Result<Page> {
        let mut response = self.send(request).await?;
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = response.headers().get(LOCATION) else {
                break;
            };
            let target = response.url().join(location.to_str()?)?;
            if !target.as_str().starts_with(&self.origin) {
                bail!("redirect to {target}, outside the app");
            }
            let request = as_navigation(self.request(Method::GET, target.as_str()));
            response = self.send(request).await?;
        }
        let page = Page::read(response).await?;
        if let Some(token) = page.csrf() {
            *self.csrf.lock() = token;
        }
        Ok(page)
    }

    // --- user actions ---

    /// Signs in by name, without a password. Returns the page after the sign-in.
    pub async fn sign_in_by_name(&self, name: &str) -> Result<Page> {
        self.get("/sign-in").await?;
        self.post("/sign-in/local", &[("name", name)])
            .await?
            .expect_success("sign-in")
    }

    /// The id of the workspace that the front page redirects to.
    pub async fn workspace(&self) -> Result<String> {
        let page = self.get("/").await?.expect_success("front page")?;
        let path = page.path().to_owned();
        path.strip_prefix("/w/")
            .and_then(|rest| rest.split('/').next())
            .map(str::to_owned)
            .with_context(|| format!("the front page redirects to {path}, not to a workspace"))
    }

    /// Follows the provisioning page until the workspace's database is available. Returns the
    /// page's final text.
    pub async fn wait_until_available(&self, workspace: &str, timeout: Duration) -> Result<String> {
        let waiting = async {
            loop {
                let page = self
                    .get(&format!("/w/{workspace}/provisioning"))
                    .await?
                    .expect_success("provisioning page")?;
                if page.html().contains("Your database is ready") {
                    return Ok(page.text());
                }
                let mut events = self
                    .subscribe(&format!("/w/{workspace}/provisioning/events"))
                    .await?;
                while let Some(event) = events.next().await? {
                    if event.name == "ended" {
                        return Ok(page::visible_text(&event.data));
                    }
                }
            }
        };
        tokio::time::timeout(timeout, waiting)
            .await
            .with_context(|| {
                format!(
                    "the workspace has no database after {} s",
                    timeout.as_secs()
                )
            })?
    }

    /// Uploads a file completely. Returns the document's id.
    pub async fn upload(&self, workspace: &str, name: &str, file: &[u8]) -> Result<String> {
        let base = format!("/w/{workspace}/documents");
        self.get(&base).await?.expect_success("documents page")?;
        let upload = self.create_upload(workspace, name, file).await?;
        self.put_file(&upload, file).await?;
        let document = upload.document_id;
        let (status, body) = self
            .post_json(&format!("{base}/{document}/complete"), &json!({}))
            .await?;
        ensure!(
            status.is_success(),
            "completing the upload returned {status} {body}"
        );
        Ok(document)
    }

    /// Creates an upload: a document and a presigned URL for its file.
    pub async fn create_upload(&self, workspace: &str, name: &str, file: &[u8]) -> Result<Upload> {
        let body = json!({
            "name": name,
            "byte_count": file.len(),
            "media_type": "application/pdf",
            "sha256": BASE64_STANDARD.encode(Sha256::digest(file)),
        });
        let (status, created) = self
            .post_json(&format!("/w/{workspace}/documents"), &body)
            .await?;
        let text = |name: &str| created[name].as_str().map(str::to_owned);
        match (text("document"), text("url")) {
            (Some(document_id), Some(url)) if status.is_success() => Ok(Upload {
                document_id,
                url,
                headers: created["headers"].clone(),
            }),
            _ => bail!("creating the upload of {name} returned {status} {created}"),
        }
    }

    /// Sends a file to the S3 server, as a browser does: without the app's cookies.
    pub async fn put_file(&self, upload: &Upload, file: &[u8]) -> Result<()> {
        let mut put = self
            .http
            .put(&upload.url)
            .header(ORIGIN, &self.origin)
            .body(file.to_vec());
        for (name, value) in upload.headers.as_object().into_iter().flatten() {
            put = put.header(name, value.as_str().unwrap_or_default());
        }
        let response = put.send().await?;
        let status = response.status();
        ensure!(
            status.is_success(),
            "the S3 server rejected the file: {status} {}",
            response.text().await?
        );
        Ok(())
    }

    /// The rows of the document list.
    pub async fn documents(&self, workspace: &str) -> Result<Vec<DocumentRow>> {
        let page = self.get(&format!("/w/{workspace}/documents")).await?;
        Ok(page.expect_success("documents page")?.document_rows())
    }

    /// Polls the document list until `condition` holds for the document's row.
    pub async fn wait_for_document(
        &self,
        workspace: &str,
        document: &str,
        timeout: Duration,
        mut condition: impl FnMut(&DocumentRow) -> bool,
    ) -> Result<DocumentRow> {
        let started = Instant::now();
        let mut last = None;
        loop {
            // Some tests interrupt the app, so errors are retried.
            if let Ok(rows) = self.documents(workspace).await {
                last = rows.into_iter().find(|row| row.document_id == document);
            }
            if let Some(row) = last.as_ref().filter(|row| condition(row)) {
                return Ok(row.clone());
            }
            if started.elapsed() > timeout {
                bail!(
                    "the document did not reach the expected state within {} s: {last:?}",
                    timeout.as_secs()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a document is ready. Fails as soon as its ingestion has failed.
    pub async fn wait_until_ready(
        &self,
        workspace: &str,
        document: &str,
        timeout: Duration,
    ) -> Result<DocumentRow> {
        let row = self
            .wait_for_document(workspace, document, timeout, |row| {
                row.state == "ready" || row.state == "failed"
            })
            .await?;
        ensure!(row.state == "ready", "ingestion failed: {}", row.text);
        Ok(row)
    }

    /// Asks a question in a new chat thread and reads the answer's stream to its end. Returns the
    /// thread's page.
    pub async fn ask(&self, workspace: &str, question: &str, timeout: Duration) -> Result<Page> {
        let base = format!("/w/{workspace}/chat");
        self.get(&base).await?.expect_success("chat page")?;
        let thread = self
            .post(&base, &[("question", question)])
            .await?
            .expect_success("question")?;
        let answering = async {
            if let Some(stream) = thread.text_between("sse-connect=\"", "\"") {
                let mut events = self.subscribe(&stream).await?;
                while let Some(event) = events.next().await? {
                    if event.name == "done" {
                        break;
                    }
                }
            }
            self.get(thread.path()).await?.expect_success("chat thread")
        };
        tokio::time::timeout(timeout, answering)
            .await
            .with_context(|| format!("no answer within {} s", timeout.as_secs()))?
    }
}

/// Adds the headers with which browsers navigate: follow a link or submit a form.
fn as_navigation(request: RequestBuilder) -> RequestBuilder {
    request
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
}
