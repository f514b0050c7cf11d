//! A person with a browser, without the browser: cookies, CSRF tokens, forms, uploads and event streams over plain HTTP, as
//! the pages ask for them. The demo proves itself with one, and the tests of what needs no real browser use many.

mod events;
mod page;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use self::events::{Event, Events};
pub use self::page::Page;

/// Redirects that are followed in a row.
const REDIRECTS_MAX: usize = 5;
/// One answer that is no stream.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often a page is looked at again while something is waited for.
const LOOK_POLL: Duration = Duration::from_millis(100);

/// A person. Clones of the pages' state are not kept: each look asks anew.
#[derive(Debug)]
pub struct Visitor {
    http: Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
    csrf: Mutex<String>,
}

/// A document as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub document: String,
    /// `uploading`, `queued`, `working`, `ready`, `failed` or `deleting`.
    pub state: String,
    /// All that the row says, without its markup.
    pub words: String,
}

impl Visitor {
    /// Somebody who has never been here. `origin` is the app's public URL.
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

    // --- pages and forms ---

    /// A page, wherever it redirects to.
    pub async fn get(&self, path: &str) -> Result<Page> {
        self.follow(navigating(self.request(Method::GET, path)))
            .await
    }

    /// Sends a form, with the token that the last page had.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let token = held(&self.csrf).clone();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &token);
        form.extend_pairs(fields);
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        self.follow(navigating(request)).await
    }

    /// What a script of the pages sends: JSON, with the token in a header. An empty answer is `null`.
    pub async fn fetch(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let token = held(&self.csrf).clone();
        let request = self
            .request(Method::POST, path)
            .header("x-csrf-token", token)
            .header("accept", "application/json")
            .json(body);
        let answer = self.send(request).await?;
        let status = answer.status();
        let text = answer.text().await?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((status, value))
    }

    /// Listens to a stream of events.
    pub async fn events(&self, path: &str) -> Result<Events> {
        let request = self
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        let answer = self.send(request).await?;
        ensure!(
            answer.status().is_success(),
            "{path} answers {}",
            answer.status()
        );
        Ok(Events::new(answer))
    }

    /// Any request with this person's cookies; redirects are not followed.
    pub async fn answer(&self, method: Method, path: &str) -> Result<Response> {
        let token = held(&self.csrf).clone();
        let request = self.request(method, path).header("x-csrf-token", token);
        self.send(request).await
    }

    /// The path with another's cookies, and so on: a request to be filled in and sent by the caller.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.origin)
        } else {
            path.to_owned()
        };
        let changes = method != Method::GET;
        let mut request = self.http.request(method, url);
        let cookies: Vec<String> = held(&self.cookies)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if changes {
            // As browsers say it of requests that the site's own pages make.
            request = request
                .header(ORIGIN, &self.origin)
                .header("sec-fetch-site", "same-origin");
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = tokio::time::timeout(ANSWER_LIMIT, request.send())
            .await
            .context("the app does not answer")??;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                let mut cookies = held(&self.cookies);
                if value.is_empty() {
                    cookies.remove(name);
                } else {
                    cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(answer)
    }

    async fn follow(&self, request: RequestBuilder) -> Result<Page> {
        let mut answer = self.send(request).await?;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = answer.headers().get(LOCATION) else {
                break;
            };
            let next = answer.url().join(next.to_str()?)?;
            if !next.as_str().starts_with(&self.origin) {
                bail!("{} leads away from the app", next.path());
            }
            let next = navigating(self.request(Method::GET, next.as_str()));
            answer = self.send(next).await?;
        }
        let page = Page::read(answer).await?;
        if let Some(token) = page.csrf() {
            *held(&self.csrf) = token;
        }
        Ok(page)
    }

    // --- what people do ---

    /// Signs in by name alone, which the demo allows. Gives the page that this ends on.
    pub async fn sign_in_by_name(&self, name: &str) -> Result<Page> {
        self.get("/sign-in").await?;
        self.post("/sign-in/local", &[("name", name)])
            .await?
            .expect_success("signing in")
    }

    /// The workspace that one is led to from the front page.
    pub async fn workspace(&self) -> Result<String> {
        let page = self.get("/").await?.expect_success("the front page")?;
        let path = page.path().to_owned();
        path.strip_prefix("/w/")
            .and_then(|rest| rest.split('/').next())
            .map(str::to_owned)
            .with_context(|| format!("the front page leads to {path} and to no workspace"))
    }

    /// Follows the page of a workspace whose database comes up, until it says that it is there. Gives what it says then.
    pub async fn until_available(&self, workspace: &str, limit: Duration) -> Result<String> {
        let waiting = async {
            loop {
                let page = self
                    .get(&format!("/w/{workspace}/provisioning"))
                    .await?
                    .expect_success("provisioning")?;
                if page.text().contains("Your database is ready") {
                    return Ok(page.words());
                }
                let mut events = self
                    .events(&format!("/w/{workspace}/provisioning/events"))
                    .await?;
                while let Some(event) = events.next().await? {
                    if event.name == "ended" {
                        return Ok(page::words(&event.data));
                    }
                }
            }
        };
        tokio::time::timeout(limit, waiting)
            .await
            .with_context(|| format!("no database within {} s", limit.as_secs()))?
    }

    /// Brings a file: asks for a place, puts it there, says so. Gives the document's id.
    pub async fn upload(&self, workspace: &str, name: &str, file: &[u8]) -> Result<String> {
        let base = format!("/w/{workspace}/documents");
        self.get(&base).await?.expect_success("the documents")?;
        let (document, url, headers) = self.reserve(workspace, name, file).await?;
        self.put(&url, &headers, file).await?;
        let (status, said) = self
            .fetch(&format!("{base}/{document}/complete"), &json!({}))
            .await?;
        ensure!(
            status.is_success(),
            "the upload is not taken: {status} {said}"
        );
        Ok(document)
    }

    /// Asks for a place for a file: the document's id, the URL to put it at and the headers to put it with.
    pub async fn reserve(
        &self,
        workspace: &str,
        name: &str,
        file: &[u8],
    ) -> Result<(String, String, Value)> {
        let asked = json!({
            "name": name,
            "byte_count": file.len(),
            "media_type": "application/pdf",
            "sha256": BASE64_STANDARD.encode(Sha256::digest(file)),
        });
        let (status, place) = self
            .fetch(&format!("/w/{workspace}/documents"), &asked)
            .await?;
        let text = |name: &str| place[name].as_str().map(str::to_owned);
        match (text("document"), text("url")) {
            (Some(document), Some(url)) if status.is_success() => {
                Ok((document, url, place["headers"].clone()))
            }
            _ => bail!("no place for {name}: {status} {place}"),
        }
    }

    /// Puts a file to where [`Visitor::reserve`] said, as a browser does: without cookies.
    pub async fn put(&self, url: &str, headers: &Value, file: &[u8]) -> Result<()> {
        let mut put = self
            .http
            .put(url)
            .header(ORIGIN, &self.origin)
            .body(file.to_vec());
        for (name, value) in headers.as_object().into_iter().flatten() {
            put = put.header(name, value.as_str().unwrap_or_default());
        }
        let answer = put.send().await?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "the S3 server refuses the file: {status} {}",
            answer.text().await?
        );
        Ok(())
    }

    /// The documents as the list shows them.
    pub async fn documents(&self, workspace: &str) -> Result<Vec<Row>> {
        let page = self.get(&format!("/w/{workspace}/documents")).await?;
        Ok(page.expect_success("the documents")?.rows())
    }

    /// Looks at the list until a document is as wished.
    pub async fn until_document(
        &self,
        workspace: &str,
        document: &str,
        limit: Duration,
        mut wished: impl FnMut(&Row) -> bool,
    ) -> Result<Row> {
        let started = Instant::now();
        let mut last = None;
        loop {
            // The app may be away for a moment: that is what some tests are about.
            if let Ok(rows) = self.documents(workspace).await {
                last = rows.into_iter().find(|row| row.document == document);
            }
            if let Some(row) = last.as_ref().filter(|row| wished(row)) {
                return Ok(row.clone());
            }
            if started.elapsed() > limit {
                bail!(
                    "the document is not as it should be within {} s: {last:?}",
                    limit.as_secs()
                );
            }
            tokio::time::sleep(LOOK_POLL).await;
        }
    }

    /// Waits until a document can be searched; a failure of its reading is an error at once.
    pub async fn until_ready(
        &self,
        workspace: &str,
        document: &str,
        limit: Duration,
    ) -> Result<Row> {
        let row = self
            .until_document(workspace, document, limit, |row| {
                row.state == "ready" || row.state == "failed"
            })
            .await?;
        ensure!(row.state == "ready", "the file was refused: {}", row.words);
        Ok(row)
    }

    /// Asks all documents, and reads the answer's stream to its end. Gives the answer as it then stands on the page.
    pub async fn ask(&self, workspace: &str, question: &str, limit: Duration) -> Result<Page> {
        let base = format!("/w/{workspace}/chat");
        self.get(&base).await?.expect_success("the chat")?;
        let thread = self
            .post(&base, &[("question", question)])
            .await?
            .expect_success("the question")?;
        let answering = async {
            if let Some(stream) = thread.between("sse-connect=\"", "\"") {
                let mut events = self.events(&stream).await?;
                while let Some(event) = events.next().await? {
                    if event.name == "done" {
                        break;
                    }
                }
            }
            self.get(thread.path()).await?.expect_success("the thread")
        };
        tokio::time::timeout(limit, answering)
            .await
            .with_context(|| format!("no answer within {} s", limit.as_secs()))?
    }
}

/// As browsers ask when people follow a link or send a form, and scripts do not.
fn navigating(request: RequestBuilder) -> RequestBuilder {
    request
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
}

/// A panic elsewhere cannot leave a value half written.
fn held<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
