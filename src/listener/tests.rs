use std::net::SocketAddr;

use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    task::JoinHandle,
};

use super::*;

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_mins(2);
const PATIENT: Patience = Patience { head: LONG, idle: LONG };

struct Bench {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    /// Releases the answer of `/slow`.
    go: Arc<Notify>,
    begun: Arc<Notify>,
}

impl Bench {
    async fn start(connections_max: usize, patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (go, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (going, beginning) = (go.clone(), begun.clone());
        let slow = async move || {
            beginning.notify_one();
            going.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/slow", get(slow))
            .route("/told", post(async |told: String| told));
        let shutdown = CancellationToken::new();
        let serving = serve_with(listener, router, connections_max, patience, shutdown.clone());
        Self { address, serving: tokio::spawn(serving), shutdown, go, begun }
    }

    async fn open(&self, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        // The listener may have hung up already.
        let _ = stream.write_all(said.as_bytes()).await;
        stream
    }
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    match timeout(LONG, stream.read(&mut bytes)).await.expect("something happens on the connection") {
        Ok(read) => String::from_utf8_lossy(&bytes[..read]).into_owned(),
        Err(_) => String::new(),
    }
}

const WHOLE: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF: &str = "GET / HTTP/1.1\r\nhost:";

#[tokio::test]
async fn half_a_request_and_silence_are_hung_up_on() {
    let short = Duration::from_millis(200);
    let bench = Bench::start(8, Patience { head: short, idle: short }).await;
    assert_eq!(heard(&mut bench.open(HALF).await).await, "");
    assert_eq!(heard(&mut bench.open("").await).await, "");
    let mut kept = bench.open(WHOLE).await;
    assert!(heard(&mut kept).await.ends_with("here"));
    assert_eq!(heard(&mut kept).await, "", "and between two requests");
    // A request that is being answered has no timeout.
    let mut slow = bench.open("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    bench.begun.notified().await;
    sleep(short * 3).await;
    bench.go.notify_one();
    assert!(heard(&mut slow).await.ends_with("slow"));
}

#[tokio::test]
async fn who_says_nothing_makes_room_and_who_is_answered_does_not() {
    let bench = Bench::start(4, PATIENT).await;
    let mut slow = bench.open("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    bench.begun.notified().await;
    let mut halves = Vec::new();
    for _ in 0..40 {
        halves.push(bench.open(HALF).await);
    }
    // Each of these evicts the connection that has waited the longest.
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut whole = bench.open(WHOLE).await;
        assert!(heard(&mut whole).await.ends_with("here"));
        kept.push(whole);
    }
    for half in &mut halves {
        assert_eq!(heard(half).await, "");
    }
    bench.go.notify_one();
    assert!(heard(&mut slow).await.ends_with("slow"));
}

#[tokio::test]
async fn c21_half_a_body_makes_room_and_a_whole_one_is_answered() {
    let bench = Bench::start(4, PATIENT).await;
    let told = |body: &str| format!("POST /told HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{body}");
    let mut halves = Vec::new();
    for number in 0..40 {
        halves.push(bench.open(&told("ha")).await);
        if number % 8 == 0 {
            let mut whole = bench.open(&told("whole")).await;
            assert!(heard(&mut whole).await.ends_with("whole"));
        }
    }
    let newest = halves.last_mut().expect("there are some");
    newest.write_all(b"lf!").await.expect("who came last is still there");
    assert!(heard(newest).await.ends_with("half!"));
    assert_eq!(heard(&mut halves[0]).await, "");
}

#[tokio::test]
async fn where_all_are_being_answered_another_one_is_hung_up_on() {
    let bench = Bench::start(1, PATIENT).await;
    let mut slow = bench.open("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    bench.begun.notified().await;
    assert_eq!(heard(&mut bench.open("").await).await, "");
    bench.go.notify_one();
    assert!(heard(&mut slow).await.ends_with("slow"));
}

#[tokio::test]
async fn a_shutdown_lets_calls_in_flight_end_and_hangs_up_on_the_others() {
    let bench = Bench::start(8, PATIENT).await;
    let mut slow = bench.open("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    bench.begun.notified().await;
    let mut idle = bench.open(WHOLE).await;
    assert!(heard(&mut idle).await.ends_with("here"));
    bench.shutdown.cancel();
    assert_eq!(heard(&mut idle).await, "");
    bench.go.notify_one();
    assert!(heard(&mut slow).await.contains("slow"));
    bench.serving.await.expect("it ends");
}
