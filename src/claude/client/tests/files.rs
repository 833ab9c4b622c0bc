//! Tests the calls about files against a real server.

use super::*;
use crate::claude::{FileContent, FileInfo};

fn json_reply(status: &str, body: &str) -> Vec<Step> {
    reply(status, "content-type: application/json\r\n", body)
}

const INFO: &str = r#"{"id":"file_1","type":"file","filename":"data.csv","size_bytes":3}"#;

#[tokio::test]
async fn c24_an_upload_waits_where_it_is_limited_and_names_and_content_stay_in_their_part() {
    let limited = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}"#;
    let mut server = Server::start(vec![json_reply("429", limited), json_reply("200", INFO)]).await;
    let client = client(config(server.base_url.clone()));
    let name = "a\"b\r\nx: y.csv";
    let info = client.upload_file(name, b"1,2", 3_600).await.expect("it is there");
    assert_eq!(info, FileInfo { id: "file_1".to_owned(), name: "data.csv".to_owned(), bytes: 3 });
    for _ in 0..2 {
        let Seen::Request { head, body } = server.next().await else { panic!("a request comes") };
        assert_eq!(head.lines().next(), Some("POST /v1/files HTTP/1.1"));
        let boundary = head.lines().find_map(|line| line.strip_prefix("content-type: multipart/form-data; boundary="));
        assert!(body.starts_with(&format!("--{}\r\n", boundary.expect("a form"))), "{body}");
        assert!(body.contains("filename=\"a_b__x: y.csv\"\r\n") && body.contains("\r\n\r\n3600\r\n"), "{body}");
    }
}

#[tokio::test]
async fn c24_what_is_gone_too_large_or_refused_is_told_apart() {
    let missing = r#"{"type":"error","error":{"type":"not_found_error","message":"File not found"}}"#;
    let large = r#"{"type":"error","error":{"type":"request_too_large","message":"Too large"}}"#;
    let server = Server::start(vec![
        json_reply("404", missing),
        json_reply("404", missing),
        json_reply("200", "0123456789"),
        json_reply("200", "0123456789"),
        json_reply("200", r#"{"id":"../x"}"#),
        json_reply("413", large),
    ])
    .await;
    let client = client(config(server.base_url.clone()));
    assert_eq!(client.look_at_file("file_1").await.expect("told"), None);
    assert!(client.read_file("file_1", 10).await.expect("told") == FileContent::Missing);
    assert!(client.read_file("file_1", 10).await.expect("told") == FileContent::Whole(b"0123456789".to_vec()));
    assert!(client.read_file("file_1", 9).await.expect("told") == FileContent::TooLarge);
    assert_eq!(client.look_at_file("file_1").await.expect("told"), None, "an id that leads elsewhere is none");
    let refused = client.upload_file("a", b"1", 3_600).await.expect_err("it is too large");
    assert!(matches!(refused.cause, Cause::TooLarge { .. }), "{refused}");
    // An id that leads elsewhere is not even asked about.
    assert_eq!(client.look_at_file("../messages").await.expect("told"), None);
}
