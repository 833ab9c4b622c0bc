//! A server on loopback that plays scripts exactly, one connection after another.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use url::Url;

/// What a connection does after reading its request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait this long; only for tests of the time between bytes.
    Pause(std::time::Duration),
    /// Send nothing more until the client hangs up, and report that.
    Hold,
}

/// What the server has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A request: its raw head, and its body.
    Request { head: String, body: String },
    /// The client closed a connection that was held.
    HungUp,
}

/// A running server; dropping it stops it.
pub(super) struct Server {
    pub(super) base_url: Url,
    seen: mpsc::UnboundedReceiver<Seen>,
    _connections: JoinSet<()>,
}

impl Server {
    /// Plays one script for each connection, then refuses connections.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let (report, seen) = mpsc::unbounded_channel();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            for script in scripts {
                let Ok((connection, _)) = listener.accept().await else { return };
                play(connection, script, &report).await;
            }
        });
        let base_url = format!("http://127.0.0.1:{port}").parse().expect("it is a URL");
        Self { base_url, seen, _connections: connections }
    }

    /// Returns the next thing seen.
    pub(super) async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("the server saw something more")
    }

    /// Returns the number of requests seen and not yet returned.
    pub(super) fn requests(&mut self) -> usize {
        let mut requests = 0;
        while let Ok(seen) = self.seen.try_recv() {
            requests += usize::from(matches!(seen, Seen::Request { .. }));
        }
        requests
    }
}

async fn play(mut connection: TcpStream, script: Vec<Step>, report: &mpsc::UnboundedSender<Seen>) {
    let request = read_request(&mut connection).await;
    let _ = report.send(request);
    for step in script {
        match step {
            Step::Send(bytes) => {
                // The client may have hung up already.
                let _ = connection.write_all(&bytes).await;
            }
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Hold => {
                let mut rest = [0; 64];
                while connection.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                let _ = report.send(Seen::HungUp);
            }
        }
    }
}

async fn read_request(connection: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        let read = connection.read_buf(&mut bytes).await.expect("the client sends a request");
        assert!(read > 0, "the client hung up within the request's head");
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("the head is text");
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    let length = length.unwrap_or_else(|| {
        assert!(head.starts_with("GET "), "a request with a body states its length");
        0
    });
    while bytes.len() < head_end + length {
        let read = connection.read_buf(&mut bytes).await.expect("the client sends its body");
        assert!(read > 0, "the client hung up within the request's body");
    }
    let body = String::from_utf8(bytes[head_end..].to_vec()).expect("the body is text");
    Seen::Request { head, body }
}

/// Returns a complete response that is not a stream.
pub(super) fn reply(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let whole = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    vec![Step::Send(whole.into_bytes())]
}

/// Returns a complete response with an API error.
pub(super) fn api_error(status: &str, headers: &str, error: &str) -> Vec<Step> {
    let body = format!(r#"{{"type":"error","error":{error},"request_id":"req_body"}}"#);
    reply(status, &format!("content-type: application/json\r\n{headers}"), &body)
}

/// Returns the head of a streamed response that ends with the connection.
pub(super) fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\nrequest-id: req_head\r\n\
                content-type: text/event-stream; charset=utf-8\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// Returns these events as one step.
pub(super) fn events(data: &[&str]) -> Step {
    Step::Send(data.iter().flat_map(|data| ["data: ", data, "\n\n"]).collect::<String>().into_bytes())
}
