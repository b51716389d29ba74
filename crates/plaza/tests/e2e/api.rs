//! The API as any program meets it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, http, wait};

struct Asked {
    status: StatusCode,
    kind: String,
    text: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn ask(house: &House, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Asked {
    let mut request =
        http().request(method, format!("{}{path}", house.url())).body(body.to_owned());
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.bearer_auth(house.token());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    wait(async {
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let kind = response.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        Asked { status, kind, text: response.text().await.expect("text") }
    })
}

#[test]
fn a_malformed_order_is_refused_with_field_and_line() {
    let Some(house) = House::up() else { return };
    let body = "{\n  \"order\": {\n    \"document\": {\n      \"renter\": 7\n    }\n  }\n}";
    let asked = ask(&house, Method::POST, "/v1/jobs", &[], body);
    assert_eq!(asked.status, 422);
    assert_eq!(asked.kind, "application/problem+json");
    let problem = asked.json();
    assert_eq!(problem["field"], "order.document.renter", "{problem}");
    assert_eq!(problem["line"], 4, "{problem}");
    assert_eq!(problem["status"], 422, "{problem}");
    assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:")), "{problem}");
}

#[test]
fn strangers_and_borrowed_names_are_kept_out() {
    let Some(house) = House::up() else { return };
    let no = [("authorization", "Bearer wrong")];
    for path in ["/v1/jobs", "/v1/offers", "/v1/provider", "/v1/blobs/00"] {
        let asked = ask(&house, Method::GET, path, &no, "");
        assert_eq!(asked.status, 401, "{path}");
        assert_eq!(asked.kind, "application/problem+json", "{path}");
    }
    assert_eq!(ask(&house, Method::GET, "/healthz", &no, "").status, 200);
    assert_eq!(ask(&house, Method::GET, "/v1/network", &no, "").status, 200);
    let borrowed = [("host", "plaza.example")];
    assert_eq!(ask(&house, Method::GET, "/v1/network", &borrowed, "").status, 421);
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let Some(house) = House::up() else { return };
    for (method, path, status) in [
        (Method::GET, "/v1/nothing", 404),
        (Method::GET, "/v1/jobs/abcd", 404),
        (Method::GET, "/v1/jobs/xyz", 422),
        (Method::DELETE, "/v1/jobs", 405),
        (Method::GET, "/v1/balances/me", 422),
        (Method::GET, "/v1/blobs/00", 422),
    ] {
        let asked = ask(&house, method, path, &[], "");
        assert_eq!(asked.status, status, "{path}: {}", asked.text);
        assert_eq!(asked.kind, "application/problem+json", "{path}");
    }
}

#[test]
fn facts_are_replayed_and_resumed_after_the_last_one_seen() {
    let Some(house) = House::up() else { return };
    let (_, bill) = house.run(&[], &["true"]);
    let path = format!("/v1/jobs/{}/facts", bill["job"].as_str().expect("an id"));
    let whole = ask(&house, Method::GET, &path, &[], "");
    assert_eq!(whole.kind, "text/event-stream");
    let ids: Vec<&str> = whole.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let events: Vec<&str> =
        whole.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events.first(), Some(&"job.submitted"), "{events:?}");
    assert_eq!(events.last(), Some(&"job.done"), "{events:?}");
    assert!(events.contains(&"deal.opened") && events.contains(&"deal.settled"), "{events:?}");

    for (at, id) in ids.iter().enumerate() {
        let rest = ask(&house, Method::GET, &path, &[("last-event-id", id)], "");
        let left = rest.text.lines().filter(|line| line.starts_with("id: ")).count();
        assert_eq!(left, ids.len() - at - 1, "after {id}");
        let expected = if left == 0 { StatusCode::NO_CONTENT } else { StatusCode::OK };
        assert_eq!(rest.status, expected, "after {id}");
    }
}

#[test]
fn blobs_are_taken_only_under_their_own_digest() {
    let Some(house) = House::up() else { return };
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let path = format!("/v1/blobs/{digest}");
    assert_eq!(ask(&house, Method::GET, &path, &[], "").status, 404);
    let wrong = ask(&house, Method::PUT, &path, &[], "goodbye");
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert_eq!(ask(&house, Method::PUT, &path, &[], "hello").status, 201);
    assert_eq!(ask(&house, Method::GET, &path, &[], "").text, "hello");
    let created = ask(&house, Method::POST, "/v1/blobs", &[], "hello").json();
    assert_eq!(created, json!({ "digest": digest, "size": 5 }));
}

#[test]
fn an_idempotency_key_stands_for_one_order() {
    let Some(house) = House::up() else { return };
    let (_, bill) = house.run(&[], &["true"]);
    let id = bill["job"].as_str().expect("an id");
    let submission = house.job(id)["submission"].to_string();
    let key = [("idempotency-key", "mine")];
    let again = ask(&house, Method::POST, "/v1/jobs", &key, &submission);
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json()["id"], id);
    let other = house.run(&[], &["true"]).1;
    let other = house.job(other["job"].as_str().expect("an id"))["submission"].to_string();
    assert_eq!(ask(&house, Method::POST, "/v1/jobs", &key, &other).status, 409);
    let forged = submission.replacen("\"nonce\":", "\"nonce\":1", 1);
    let refused = ask(&house, Method::POST, "/v1/jobs", &[], &forged);
    assert!(refused.status.is_client_error(), "{}", refused.text);
}
