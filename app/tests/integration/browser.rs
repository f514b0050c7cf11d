//! A minimal browser: cookies, and forms with their CSRF token. It does not follow redirects.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    /// The CSRF token of the page's first form.
    pub(crate) fn token(&self) -> String {
        let token = self.after("name=\"csrf\" value=\"");
        token.expect("a form with a token").to_owned()
    }

    /// The value of the first attribute or field after `marker`.
    pub(crate) fn after(&self, marker: &str) -> Option<&str> {
        let rest = self.text.split_once(marker)?.1;
        Some(rest.split_once('"')?.0)
    }
}

#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) csrf: String,
    /// Sent with every request.
    pub(crate) headers: Vec<(&'static str, String)>,
    peer: SocketAddr,
}

impl Browser {
    pub(crate) fn new(router: Router) -> Self {
        Self {
            router,
            cookies: BTreeMap::new(),
            csrf: String::new(),
            headers: vec![("accept", "text/html".to_owned())],
            peer: SocketAddr::from(([192, 0, 2, 1], 4711)),
        }
    }

    /// Sets the address of the client.
    pub(crate) fn from(mut self, peer: [u8; 4]) -> Self {
        self.peer = SocketAddr::from((peer, 4711));
        self
    }

    /// Sets a header of all requests.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sends a request and stores the cookies of the response. The body is not read.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> axum::response::Response {
        let (mut head, body) = request.into_parts();
        for (name, value) in &self.headers {
            if !head.headers.contains_key(*name) {
                head.headers.insert(*name, value.parse().expect("a header"));
            }
        }
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            let cookies = cookies.join("; ").parse().expect("a header");
            head.headers.insert(header::COOKIE, cookies);
        }
        head.extensions.insert(ConnectInfo(self.peer));
        let request = Request::from_parts(head, body);
        let Ok(response) = self.router.clone().oneshot(request).await;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("ASCII");
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Answer {
        read(self.send(request).await).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    /// Sends a form with the CSRF token.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.clone();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .copied()
            .chain([("csrf", csrf.as_str())])
            .collect();
        self.post_bare(path, &fields).await
    }

    /// Sends a form without adding the CSRF token.
    pub(crate) async fn post_bare(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("a request");
        self.ask(request).await
    }

    /// Signs in by name, with the form of the sign-in page.
    pub(crate) async fn sign_in(&mut self, name: &str) -> Answer {
        let page = self.get("/sign-in").await;
        self.csrf = page.token();
        let answer = self.post("/sign-in/local", &[("name", name)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        self.learn_token().await;
        answer
    }

    /// Reads the CSRF token from a page.
    pub(crate) async fn learn_token(&mut self) {
        let page = self.get("/account").await;
        self.csrf = page.token();
    }
}

pub(crate) async fn read(response: axum::response::Response) -> Answer {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    assert!(bytes.len() <= MAX_BODY_BYTES);
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
