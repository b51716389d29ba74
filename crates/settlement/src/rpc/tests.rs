//! The HTTP form against a socket that answers by hand.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{Http, Rpc, RpcError, read_answer};

/// Answers one request with `body` and gives the client for it.
async fn answering(status: &'static str, body: String) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 16_384];
        let read = socket.read(&mut request).await.unwrap();
        assert!(String::from_utf8_lossy(&request[..read]).starts_with("POST /secret"));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all((head + &body).as_bytes()).await.unwrap();
    });
    Http::new(&format!("http://me:password@127.0.0.1:{port}/secret?key=1")).unwrap()
}

#[tokio::test]
async fn a_result_is_handed_on() {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "result": "0x7" }).to_string();
    let http = answering("200 OK", body).await;
    assert_eq!(http.request("eth_chainId", json!([])).await.unwrap(), json!("0x7"));
}

#[tokio::test]
async fn a_node_s_error_keeps_its_code_words_and_data() {
    let error = json!({ "code": 3, "message": "execution reverted", "data": "0x12" });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string();
    let http = answering("200 OK", body).await;
    match http.request("eth_call", json!([])).await.unwrap_err() {
        RpcError::Refused { code, message, data, .. } => {
            assert_eq!((code, message.as_str()), (3, "execution reverted"));
            assert_eq!(data.as_deref(), Some("0x12"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn failures_name_the_endpoint_and_never_its_credentials() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = Http::new(&format!("http://me:password@{closed}/secret?key=1")).unwrap();
    let busy = answering("503 Service Unavailable", "later".into()).await;
    for http in [gone, busy] {
        let error = http.request("eth_chainId", json!([])).await.unwrap_err();
        assert!(matches!(error, RpcError::Unreachable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&http.endpoint()), "{text}");
        for secret in ["me:", "password", "secret", "key"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn what_is_no_http_url_is_refused() {
    for wrong in ["", "nonsense", "ftp://host", "ws://host:1"] {
        assert!(Http::new(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_bytes_of_a_revert_are_found_wherever_a_node_puts_them() {
    for data in [
        json!("0x12"),
        json!("Reverted 0x12"),
        json!({ "data": "0x12", "message": "reverted" }),
        json!({ "originalError": { "code": 3, "data": "0x12" } }),
    ] {
        let answer =
            json!({ "error": { "code": -32_015, "message": "VM execution error.", "data": data } });
        match read_answer("a node", answer).unwrap_err() {
            RpcError::Refused { data: found, .. } => {
                assert_eq!(found.as_deref(), Some("0x12"), "{data}")
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_to_come_later_even_in_json() {
    let error = json!({ "code": -32_000, "message": "slow down" });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string();
    let http = answering("429 Too Many Requests", body).await;
    let error = http.request("eth_chainId", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }) && error.is_passing(), "{error}");
}

#[test]
fn an_endpoint_behind_tls_can_be_named() {
    let http = Http::new("https://me:password@node.example/v3/key").unwrap();
    assert_eq!(http.endpoint(), "https://node.example");
}
