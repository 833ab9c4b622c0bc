use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::HeaderName,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    core::{
        mask::Mask,
        tool::{Grant, Here, Output, Tool, Toolset},
    },
    secret::Secret,
};

use super::*;

/// The response of a path.
#[derive(Clone)]
struct Page {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Page {
    fn new(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { status, headers, body: body.into() }
    }

    fn text(body: &str) -> Self {
        Self::new(200, &[("content-type", "text/plain; charset=utf-8")], body)
    }

    fn leads_to(url: &str) -> Self {
        Self::new(302, &[("location", url)], "")
    }
}

type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A web server on loopback that records requests with their `Authorization` header.
struct Site {
    address: SocketAddr,
    asked: Asked,
    _serving: JoinSet<()>,
}

impl Site {
    async fn start(pages: impl Fn(SocketAddr) -> Vec<(&'static str, Page)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("has an address");
        let pages: BTreeMap<&str, Page> = pages(address).into_iter().collect();
        let asked = Asked::default();
        let router = Router::new().fallback(answer).with_state((Arc::new(pages), asked.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, asked, _serving: serving }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

async fn answer(
    State((pages, asked)): State<(Arc<BTreeMap<&'static str, Page>>, Asked)>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().expect("is text").to_owned());
    asked.lock().expect("nobody panicked").push((path.clone(), authorization));
    let Some(page) = pages.get(path.as_str()).cloned() else {
        return (axum::http::StatusCode::NOT_FOUND, "no").into_response();
    };
    if page.status == 0 {
        // A body that begins and never continues.
        let beginning = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"begin"))]);
        let body = Body::from_stream(beginning.chain(futures_util::stream::pending()));
        return ([("content-type", "text/plain")], body).into_response();
    }
    let mut response = Response::new(Body::from(page.body));
    *response.status_mut() = page.status.try_into().expect("is a status");
    for (name, value) in page.headers {
        response.headers_mut().append(HeaderName::from_static(name), value.parse().expect("is a value"));
    }
    response
}

/// Returns the tool as granted by a config.
fn tool(hosts: &[&str], output_bytes_max: usize) -> Tool {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let grant = Grant { hosts, output_bytes_max: Some(output_bytes_max), ..Grant::plain(NAME) };
    let set = Toolset::resolve(&[grant], &[offer()], &BTreeMap::new(), &Here::default());
    set.iter().next().expect("it is granted").clone()
}

async fn get_with(policy: AddressPolicy, arguments: Value, tool: &Tool, credential: Option<&Secret>) -> Output {
    let arguments: Map<String, Value> = arguments.as_object().expect("is an object").clone();
    let mask = Mask::new(credential.map(Secret::expose));
    HttpGet::new(policy).call(Call { arguments: &arguments, tool, credential, mask: &mask }).await
}

async fn get(url: &str, hosts: &[&str]) -> Output {
    get_with(AddressPolicy::LoopbackToo, json!({ "url": url }), &tool(hosts, 1_000), None).await
}

fn here(site: &Site) -> String {
    site.address.to_string()
}

#[tokio::test]
async fn c12_a_page_is_given_as_text_with_status_and_address() {
    let site = Site::start(|_| {
        vec![
            ("/a", Page::text("Grüße")),
            ("/missing", Page::new(404, &[("content-type", "application/problem+json")], "{}")),
            ("/latin", Page::new(200, &[("content-type", "text/html; charset=ISO-8859-1")], *b"Gr\xfc\xdfe")),
            ("/png", Page::new(200, &[("content-type", "image/png")], *b"\x89PNG\0")),
            (
                "/encoded",
                Page::new(200, &[("content-type", "text/plain"), ("content-encoding", "x-own")], *b"\x1f\x8b"),
            ),
            ("/untyped", Page::new(200, &[], *b"\xff\0")),
        ]
    })
    .await;
    let head = |status: u16, path: &str, mime: &str| {
        format!("status: {status}\nurl: {}\ncontent type: {mime}\n\n", site.url(path))
    };
    let rows = [
        ("/a", 200, "text/plain; charset=utf-8", "Grüße", false),
        ("/missing", 404, "application/problem+json", "{}", true),
        ("/latin", 200, "text/html; charset=iso-8859-1", "Grüße", false),
        ("/png", 200, "image/png", "[a file of image/png, 5 bytes, left out]", false),
        ("/encoded", 200, "text/plain", "[encoded as x-own, left out]", false),
        ("/untyped", 200, "", "[a file of an unknown type, left out]", false),
    ];
    for (path, status, mime, text, is_error) in rows {
        let expected = Output { is_error, ..Output::ok(head(status, path, mime) + text) };
        assert_eq!(get(&site.url(path), &[&here(&site)]).await, expected, "{path}");
    }
}

#[tokio::test]
async fn c12_loopback_is_not_reached_by_name_or_number_and_nothing_is_sent() {
    let site = Site::start(|_| vec![("/a", Page::text("secret"))]).await;
    let port = site.address.port();
    let by_name = format!("localhost:{port}");
    for (host, why) in [
        (here(&site), "127.0.0.1 is not on the public internet."),
        (by_name, "localhost cannot be reached: it is not on the public internet."),
    ] {
        let tool = tool(&[&host], 1_000);
        let url = json!({ "url": format!("http://{host}/a") });
        let output = get_with(AddressPolicy::Public, url, &tool, None).await;
        assert_eq!(output, Output::error(why), "{host}");
    }
    assert_eq!(site.asked(), []);
}

#[tokio::test]
async fn c12_each_redirect_is_checked_before_it_is_followed() {
    let inner = Site::start(|_| vec![("/inner", Page::text("inner"))]).await;
    let elsewhere = inner.url("/inner");
    let site = Site::start(|address| {
        vec![
            ("/to-inner", Page::leads_to(&elsewhere)),
            ("/to-private", Page::leads_to("http://10.0.0.1/")),
            ("/to-file", Page::leads_to("file:///etc/passwd")),
            ("/to-user", Page::leads_to(&format!("http://me@{address}/end"))),
            ("/relative", Page::leads_to("end")),
            ("/loop", Page::leads_to("/loop")),
            ("/nowhere", Page::new(302, &[], "")),
            ("/end", Page::text("end")),
        ]
    })
    .await;
    let hosts = [&*here(&site), "10.0.0.1"];
    let allowed = hosts.join(", ");
    let may_not = |why: &str| Output::error(format!("The page leads to where it may not be followed: {why}."));
    let rows = [
        (
            "/to-inner",
            may_not(&format!("port {} of that host is not among what this tool may reach", inner.address.port())),
        ),
        ("/to-private", may_not("10.0.0.1 is not on the public internet")),
        ("/to-file", may_not("it is not an address of the form https://host/path")),
        ("/to-user", may_not("an address with a user name or password in it is not asked")),
        ("/loop", Output::error("The page leads on more than 5 times.")),
        ("/nowhere", Output::error("The page leads on, but does not say where to.")),
    ];
    for (path, expected) in rows {
        assert_eq!(get(&site.url(path), &hosts).await, expected, "{path} {allowed}");
    }
    let end = get(&site.url("/relative"), &hosts).await;
    assert!(end.text.contains(&format!("url: {}\n", site.url("/end"))) && end.text.ends_with("\n\nend"), "{end:?}");
    assert_eq!(inner.asked(), []);
    let loops = site.asked().iter().filter(|(path, _)| path == "/loop").count();
    assert_eq!(loops, 1 + REDIRECTS_MAX);
}

#[tokio::test]
async fn c12_a_credential_goes_to_the_host_that_was_asked_and_not_where_it_leads() {
    let other = Site::start(|_| vec![("/b", Page::text("b"))]).await;
    let elsewhere = other.url("/b");
    let site = Site::start(|_| {
        vec![
            ("/away", Page::leads_to(&elsewhere)),
            ("/on", Page::leads_to("/a")),
            ("/a", Page::text("you sent Bearer s3cret-token")),
        ]
    })
    .await;
    let secret = Secret::new("s3cret-token");
    let tool = tool(&[&here(&site), &here(&other)], 1_000);
    let on = get_with(AddressPolicy::LoopbackToo, json!({ "url": site.url("/on") }), &tool, Some(&secret)).await;
    let away = get_with(AddressPolicy::LoopbackToo, json!({ "url": site.url("/away") }), &tool, Some(&secret)).await;
    let bearer = Some("Bearer s3cret-token".to_owned());
    let of = |path: &str, credential: &Option<String>| (path.to_owned(), credential.clone());
    assert_eq!(site.asked(), [of("/on", &bearer), of("/a", &bearer), of("/away", &bearer)]);
    assert_eq!(other.asked(), [of("/b", &None)]);
    assert!(on.text.ends_with("you sent Bearer •••"), "{on:?}");
    assert!(away.text.ends_with("\n\nb"), "{away:?}");
}

#[tokio::test]
async fn c12_a_credential_is_not_sent_in_the_clear() {
    let tool = tool(&["example.org"], 1_000);
    let url = json!({ "url": "http://example.org/" });
    let output = get_with(AddressPolicy::Public, url, &tool, Some(&Secret::new("s3cret-token"))).await;
    assert_eq!(output, Output::error("This tool's credential goes only over https: use an https address."));
}

#[tokio::test]
async fn c12_a_large_page_is_cut_and_its_secrets_are_not() {
    let site = Site::start(|_| {
        let secret_at_the_cut = format!("{}s3cret-token{}", "x".repeat(15), "y".repeat(1 << 20));
        vec![("/large", Page::text(&secret_at_the_cut)), ("/ü", Page::text("no")), ("/wide", Page::text("aüüü"))]
    })
    .await;
    let (tool, secret) = (tool(&[&here(&site)], 1_000), Secret::new("s3cret-token"));
    let ask = async |path: &str, bytes: usize| {
        let arguments = json!({ "url": site.url(path), "max_bytes": bytes });
        get_with(AddressPolicy::LoopbackToo, arguments, &tool, Some(&secret)).await
    };
    let large = ask("/large", 20).await;
    assert!(large.truncated && large.text.ends_with(&format!("\n\n{}•", "x".repeat(15))), "{large:?}");
    let wide = ask("/wide", 4).await;
    assert!(wide.truncated && wide.text.ends_with("\n\naü"), "{wide:?}");
}

#[tokio::test]
async fn c12_arguments_that_do_not_fit_are_refused() {
    let tool = tool(&["example.org"], 1_000);
    let rows = [
        (json!({}), "The arguments do not fit: missing field `url`."),
        (
            json!({ "url": "https://example.org", "method": "POST" }),
            "The arguments do not fit: unknown field `method`, expected `url` or `max_bytes`.",
        ),
        (json!({ "url": "example.org" }), "it is not an address of the form https://host/path."),
        (
            json!({ "url": "https://evil.test/" }),
            "evil.test is not among the hosts that this tool may reach: example.org.",
        ),
    ];
    for (arguments, expected) in rows {
        assert_eq!(
            get_with(AddressPolicy::Public, arguments.clone(), &tool, None).await,
            Output::error(expected),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn c12_a_page_that_never_ends_ends_with_the_tools_time() {
    let site = Site::start(|_| vec![("/stuck", Page::new(0, &[], ""))]).await;
    let grant = Grant { hosts: vec![here(&site)], timeout_ms: Some(300), ..Grant::plain(NAME) };
    let set = Toolset::resolve(&[grant], &[offer()], &BTreeMap::new(), &Here::default());
    let (tasks, stop) = (tokio_util::task::TaskTracker::new(), tokio_util::sync::CancellationToken::new());
    let settings = crate::tools::Settings { loopback_allowed_for_tests: true, ..crate::tools::Settings::default() };
    let tools = crate::tools::Tools::start(settings, &tasks, &stop);
    let arguments = json!({ "url": site.url("/stuck") });
    let output = tools.call(set.iter().next().expect("granted"), arguments.as_object().expect("is an object")).await;
    let expected = "http_get took longer than 0.3 s and was cancelled. Whether it took effect is unknown.";
    assert_eq!(output, Output::error(expected));
}
