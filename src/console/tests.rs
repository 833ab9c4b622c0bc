//! The door, and what every answer carries, over real HTTP; the engine is played.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use reqwest::{RequestBuilder, StatusCode as Status};
use ruma::owned_user_id;
use tokio::net::TcpListener;

use super::{
    view::{Spend, Summed},
    *,
};
use crate::core::{audit::ReportRow, console::query::Span};

const LINK: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// An engine with one link, whose session ends when it is told to.
#[derive(Default)]
struct Played {
    link: Mutex<Option<String>>,
    session: Mutex<Option<String>>,
    pulse: AtomicU64,
    acts: Mutex<Vec<Act>>,
}

impl Door for Arc<Played> {
    fn knows_link(&self, token: &str) -> bool {
        self.link.lock().expect("no panic").as_deref() == Some(token)
    }

    fn enter(&self, token: &str) -> Option<Secret> {
        let mut link = self.link.lock().expect("no panic");
        link.take_if(|link| link == token)?;
        let session = Secret::random();
        *self.session.lock().expect("no panic") = Some(session.expose().to_owned());
        Some(session)
    }

    fn admit(&self, token: &str) -> Option<Admitted> {
        let is_known = self.session.lock().expect("no panic").as_deref() == Some(token);
        is_known.then(|| Admitted {
            admin: owned_user_id!("@ada:hs"),
            session: "hash".to_owned(),
            form: "proof".to_owned(),
        })
    }

    fn leave(&self, _: &Admitted) {
        *self.session.lock().expect("no panic") = None;
    }

    fn act(&self, _: &UserId, act: Act) {
        self.acts.lock().expect("no panic").push(act);
    }

    fn pulse(&self) -> u64 {
        self.pulse.load(Ordering::Relaxed)
    }
}

struct Server {
    url: String,
    http: reqwest::Client,
    played: Arc<Played>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn server() -> Server {
    server_at(|listen| format!("http://{listen}")).await
}

async fn server_at(public: impl FnOnce(std::net::SocketAddr) -> String) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let listen = listener.local_addr().expect("it has one");
    let public = public(listen).parse().expect("a URL");
    let (calls, mut called) = mpsc::channel::<Call>(8);
    let played = Arc::new(Played { link: Mutex::new(Some(LINK.to_owned())), ..Played::default() });
    let stop = CancellationToken::new();
    let routes = router(Reached { listen, public }, played.clone(), calls, stop.clone());
    tokio::spawn(crate::listener::serve(listener, routes, CONNECTIONS_MAX, stop.clone()));
    tokio::spawn(async move {
        while let Some(Call { wanted, answer }) = called.recv().await {
            let _ = answer.send(match wanted {
                Wanted::Spend(by, span) => Answer::Spend(Box::new(spend(by, span))),
                Wanted::Runs(_) => Answer::Failed("<b>not</b> \u{202e}now".to_owned()),
                _ => Answer::Nothing,
            });
        }
    });
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    Server { url: format!("http://{listen}"), http: http.build().expect("a client"), played, stop }
}

fn spend(by: crate::core::audit::By, span: Span) -> Spend {
    let figures = crate::core::audit::Figures { runs: 3, cost_micro_usd: 2_500_000, ..Default::default() };
    let rows = vec![ReportRow { name: Some("<script>alert(1)</script>".to_owned()), figures }];
    let summed = Summed { sum: ReportRow { name: None, figures }, rows: rows.clone() };
    let zone = "UTC".to_owned();
    Spend { by, span, summed, days: rows, budgets: Vec::new(), crowds: Vec::new(), counted: true, zone }
}

impl Server {
    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// Sends a form as a browser sends one of our own page's.
    fn form(&self, path: &str, body: &str) -> RequestBuilder {
        let call =
            self.http.post(format!("{}{path}", self.url)).header("content-type", "application/x-www-form-urlencoded");
        call.header("origin", "null").header("sec-fetch-site", "same-origin").body(body.to_owned())
    }

    /// Signs in; returns the cookie.
    async fn sign_in(&self) -> String {
        let entered = self.form("/in", &format!("link={LINK}")).send().await.expect("an answer");
        assert_eq!(entered.status(), Status::SEE_OTHER);
        let cookie = entered.headers()["set-cookie"].to_str().expect("text").to_owned();
        cookie.split(';').next().expect("a pair").to_owned()
    }
}

async fn status(call: RequestBuilder) -> Status {
    call.send().await.expect("an answer").status()
}

async fn text(call: RequestBuilder) -> String {
    call.send().await.expect("an answer").text().await.expect("text")
}

#[tokio::test]
async fn console_looking_at_a_link_takes_nothing_and_its_button_signs_in_once() {
    let server = server().await;
    for _ in 0..3 {
        let page = server.get(&format!("/in/{LINK}")).send().await.expect("an answer");
        assert!(page.status().is_success() && page.headers().get("set-cookie").is_none(), "{page:?}");
    }
    let cookie = server.sign_in().await;
    assert!(cookie.starts_with("workmate=") && cookie.len() > 40, "{cookie}");
    assert_eq!(status(server.get("/spend").header("cookie", &cookie)).await, Status::OK);
    assert_eq!(status(server.form("/in", &format!("link={LINK}"))).await, Status::GONE, "used");
    assert_eq!(status(server.get(&format!("/in/{LINK}"))).await, Status::GONE);
    assert_eq!(status(server.get("/spend")).await, Status::UNAUTHORIZED, "no cookie");
    assert_eq!(status(server.get("/spend").header("cookie", "workmate=other")).await, Status::UNAUTHORIZED);

    *server.played.session.lock().expect("no panic") = None;
    let page = server.get("/spend").header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(page.status(), Status::UNAUTHORIZED, "it has ended");
    assert!(page.text().await.expect("text").contains("!console"), "it says how to come in again");
}

#[tokio::test]
async fn console_every_answer_carries_what_browsers_have_to_keep_to() {
    let server = server().await;
    let cookie = server.sign_in().await;
    for path in ["/", "/spend", "/nowhere", "/style.css", "/in/x", "/runs"] {
        for cookie in ["", cookie.as_str()] {
            let answer = server.get(path).header("cookie", cookie).send().await.expect("an answer");
            let header =
                |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let policy = header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            assert_eq!(header("x-frame-options"), "DENY", "{path}");
            assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("strict-transport-security"), "", "not over http");
            if path != "/style.css" {
                assert_eq!(header("cache-control"), "no-store", "{path}");
            }
        }
    }
}

#[tokio::test]
async fn console_behind_tls_cookies_are_secure_and_the_path_of_the_address_is_kept() {
    for (public, name, path) in [
        ("https://work.example.org", "__Host-workmate=", "Path=/;"),
        ("https://work.example.org/console/", "__Secure-workmate=", "Path=/console;"),
    ] {
        let server = server_at(|_| public.to_owned()).await;
        let entered = server.form("/in", &format!("link={LINK}")).header("host", "work.example.org");
        let entered = entered.send().await.expect("an answer");
        let cookie = entered.headers()["set-cookie"].to_str().expect("text");
        for part in [name, path, "HttpOnly", "SameSite=Strict", "Secure"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert_eq!(entered.headers()["strict-transport-security"], "max-age=31536000");
        let base = public.strip_prefix("https://work.example.org").expect("ours").trim_end_matches('/');
        assert_eq!(entered.headers()["location"].to_str().expect("text"), format!("{base}/"));
        // A proxy may hand on the whole path, or cut it off.
        for path in ["/spend".to_owned(), format!("{base}/spend")] {
            let page = server
                .get(&path)
                .header("host", "work.example.org")
                .header("cookie", cookie.split(';').next().expect("a pair"));
            let page = text(page).await;
            assert!(page.contains(&format!("href=\"{base}/runs\"")), "{path}: {page}");
        }
    }
}

#[tokio::test]
async fn console_only_our_own_pages_forms_count() {
    let server = server().await;
    let foreign = |call: RequestBuilder| call.body(format!("link={LINK}"));
    let post =
        || server.http.post(format!("{}/in", server.url)).header("content-type", "application/x-www-form-urlencoded");
    for call in [
        post(),
        post().header("origin", "null"),
        post().header("origin", "null").header("sec-fetch-site", "cross-site"),
        post().header("origin", "https://evil.example.org"),
        post().header("origin", "https://evil.example.org").header("sec-fetch-site", "same-origin"),
        post().header("origin", server.url.as_str()).header("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(status(foreign(call)).await, Status::FORBIDDEN);
    }
    assert!(server.played.link.lock().expect("no panic").is_some(), "nothing was used up");
    let cookie = server.sign_in().await;
    for (path, body, expected) in [
        ("/examine", "form=wrong", Status::FORBIDDEN),
        ("/examine", "", Status::FORBIDDEN),
        ("/out", "form=wrong", Status::FORBIDDEN),
        ("/examine", "form=proof", Status::SEE_OTHER),
    ] {
        assert_eq!(status(server.form(path, body).header("cookie", &cookie)).await, expected, "{path} {body}");
    }
    assert_eq!(*server.played.acts.lock().expect("no panic"), [Act::Examine]);
    let left = server.form("/out", "form=proof").header("cookie", &cookie).send().await.expect("an answer");
    assert!(left.headers()["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
    assert_eq!(status(server.get("/spend").header("cookie", &cookie)).await, Status::UNAUTHORIZED);
    let huge = format!("link={}", "a".repeat(FORM_BYTES_MAX));
    assert_eq!(status(server.form("/in", &huge)).await, Status::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn console_another_host_s_name_is_not_served_and_a_flood_is_slowed() {
    let server = server().await;
    for host in ["evil.example.org", "127.0.0.1.evil.example.org", ""] {
        assert_eq!(status(server.get("/").header("host", host)).await, Status::MISDIRECTED_REQUEST, "{host}");
    }
    let cookie = server.sign_in().await;
    let mut slowed = None;
    for _ in 0..400 {
        let answer = server.get("/in/guess").send().await.expect("an answer");
        if answer.status() == Status::TOO_MANY_REQUESTS {
            slowed = Some(answer);
            break;
        }
    }
    let slowed = slowed.expect("it is slowed");
    assert!(slowed.headers().contains_key("retry-after"));
    *server.played.link.lock().expect("no panic") = Some(LINK.to_owned());
    assert_eq!(status(server.get(&format!("/in/{LINK}"))).await, Status::OK, "nor is anybody kept out");
    assert_eq!(status(server.form("/in", "link=guess")).await, Status::GONE);
    assert_eq!(status(server.get("/spend").header("cookie", &cookie)).await, Status::OK, "who is signed in goes on");
}

#[tokio::test]
async fn console_nothing_that_is_shown_becomes_markup_and_nothing_comes_from_elsewhere() {
    let server = server().await;
    let cookie = server.sign_in().await;
    let page = text(server.get("/spend?by=person").header("cookie", &cookie)).await;
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"), "{page}");
    let failed = text(server.get("/runs").header("cookie", &cookie)).await;
    assert!(failed.contains("&lt;b&gt;not") && !failed.contains('\u{202e}'), "{failed}");
    for page in [&page, &failed] {
        assert!(!page.contains("style=\"") && !page.contains(" onclick") && !page.contains("javascript:"), "{page}");
        let sources: Vec<&str> =
            page.split(" src=\"").skip(1).chain(page.split("stylesheet\" href=\"").skip(1)).collect();
        assert!(sources.len() >= 2 && sources.iter().all(|source| source.starts_with('/')), "{sources:?}");
    }
    let scripts = text(server.get("/script.js")).await;
    assert!(scripts.contains("EventSource") && !scripts.contains("http"), "{scripts}");
    for size in [page.len(), pages::STYLE.len() + pages::SCRIPT.len() + pages::ICON.len()] {
        assert!(size < 50_000, "{size}");
    }
}

#[tokio::test]
async fn console_an_open_page_hears_of_changes_and_of_its_session_s_end() {
    let server = server().await;
    assert_eq!(status(server.get("/live")).await, Status::UNAUTHORIZED);
    let cookie = server.sign_in().await;
    let mut live = server.get("/live").header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let mut word =
        async || String::from_utf8_lossy(&live.chunk().await.expect("it goes on").unwrap_or_default()).into_owned();
    assert!(word().await.starts_with("retry:"));
    server.played.pulse.fetch_add(1, Ordering::Relaxed);
    assert!(word().await.contains("event: change"));
    *server.played.session.lock().expect("no panic") = None;
    assert!(word().await.contains("event: over"));
    assert_eq!(word().await, "", "and it ends");
}

#[tokio::test]
async fn console_open_pages_are_few() {
    let server = server().await;
    let cookie = server.sign_in().await;
    let mut open = Vec::new();
    for _ in 0..live::LISTENERS_MAX {
        open.push(server.get("/live").header("cookie", &cookie).send().await.expect("an answer"));
    }
    assert!(open.iter().all(|one| one.status().is_success()));
    let refused = server.get("/live").header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(refused.status(), Status::SERVICE_UNAVAILABLE);
}
