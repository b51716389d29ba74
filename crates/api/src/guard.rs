//! The guard: who may ask at all.
//!
//! Upon a request whose `Host` is not this machine's loopback: refused, so that a page in a browser
//! whose name was pointed here (DNS rebinding) reads nothing. Upon a request without the bearer
//! token: refused, but for what is open to everyone.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::problem::Problem;

/// What the guard asks for.
#[derive(Clone)]
pub struct Access {
    /// The bearer token; whoever can read it may do everything.
    pub token: String,
}

pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match admit(&access, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admit(access: &Access, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        return Err(Problem::misdirected(format!(
            "this server answers on loopback only, the request is for host '{host}'"
        )));
    }
    if is_open(method, uri.path()) {
        return Ok(());
    }
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match shown.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) if same(token.as_bytes(), access.token.as_bytes()) => Ok(()),
        Some(_) => Err(Problem::stranger("the bearer token is not this server's")),
        None => Err(Problem::stranger(
            "send 'Authorization: Bearer TOKEN'; the token is in the data folder",
        )),
    }
}

fn is_open(method: &Method, path: &str) -> bool {
    matches!(path, "/healthz" | "/rpc") || (path == "/v1/network" && method == Method::GET)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether two secrets are equal, in a time that tells nothing about where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str, host: &str, token: Option<&str>) -> Result<(), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header");
            headers.insert(header::AUTHORIZATION, value);
        }
        let access = Access { token: "secret".into() };
        let uri = path.parse().expect("a path");
        admit(&access, &method, &uri, &headers).map_err(|problem| problem.status)
    }

    #[test]
    fn only_health_chain_and_network_are_open() {
        let host = "127.0.0.1:7700";
        for path in ["/healthz", "/rpc", "/v1/network"] {
            assert_eq!(asked(Method::GET, path, host, None), Ok(()), "{path}");
        }
        for path in ["/v1/jobs", "/v1/networks", "/v1/blobs/00", "/rpc/", "/"] {
            assert_eq!(asked(Method::GET, path, host, None), Err(401), "{path}");
            assert_eq!(asked(Method::GET, path, host, Some("secre")), Err(401), "{path}");
            assert_eq!(asked(Method::GET, path, host, Some("secret")), Ok(()), "{path}");
        }
        assert_eq!(asked(Method::POST, "/v1/network", host, None), Err(401));
    }

    #[test]
    fn a_name_that_was_pointed_here_is_refused_even_with_the_token() {
        for host in ["evil.example", "evil.example:7700", "10.0.0.1", "127.0.0.1.evil.example", ""]
        {
            assert_eq!(asked(Method::GET, "/healthz", host, Some("secret")), Err(421), "{host}");
        }
        for host in ["127.0.0.1", "localhost:7700", "[::1]:7700", "[::1]"] {
            assert_eq!(asked(Method::GET, "/healthz", host, None), Ok(()), "{host}");
        }
    }
}
