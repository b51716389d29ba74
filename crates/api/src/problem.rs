//! Problems: every refusal and failure as a document a program can read (RFC 9457).

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use broker::Refusal;
use serde::{Deserialize, Serialize};

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name of the kind of problem, `urn:plaza:problem:KIND`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words, the same for each occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words: what, where, why.
    pub detail: String,
    /// The field at fault, by its path in the document sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line at fault in the document sent, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column at fault, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:plaza:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            line: None,
            column: None,
        }
    }

    /// The document sent is not what it should be.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "malformed",
            "The request is wrong in itself",
            detail,
        )
    }

    /// The same, naming the field and where it stands.
    pub(crate) fn at(mut self, field: Option<String>, line: usize, column: usize) -> Self {
        (self.field, self.line, self.column) = (field, Some(line), Some(column));
        self
    }

    /// There is no such thing here.
    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", "There is no such thing here", detail)
    }

    /// It contradicts what was there before.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It contradicts what was there before", detail)
    }

    /// The method is not one of the resource's.
    pub(crate) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "The resource has no such method",
            "this resource does not answer this method",
        )
    }

    /// Nobody who may do this.
    pub(crate) fn stranger(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", "The token is missing or wrong", detail)
    }

    /// A request through a name that is not this machine's own.
    pub(crate) fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "The request is meant for another host",
            detail,
        )
    }

    /// More bytes than are taken.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The content is larger than what is taken",
            detail,
        )
    }

    /// Something behind this cannot be reached now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Something needed cannot be reached now; the request may be sent again",
            detail,
        )
    }

    /// This side failed.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "This side could not do it",
            told(error),
        )
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// An error with all its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::Malformed(flaw) => Self { field: Some(flaw.field), ..Self::malformed(words) },
            Refusal::Unknown(_) => Self::unknown(words),
            Refusal::Conflict(_) => Self::conflict(words),
            Refusal::TooLate(_) => {
                Self::new(StatusCode::GONE, "too-late", "The moment for it has passed", words)
            }
            Refusal::NotSigned(_) => Self::new(
                StatusCode::FORBIDDEN,
                "not-signed",
                "The signature is not the one needed",
                words,
            ),
            Refusal::Unavailable(_) => Self::unavailable(words),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::Absent { .. } => Self::unknown(told(&error)),
            store::Error::TooLarge { .. } => Self::too_large(told(&error)),
            store::Error::Mismatch { .. } | store::Error::Content { .. } => {
                Self::malformed(told(&error))
            }
            store::Error::DiskFull { .. } | store::Error::LimitReached { .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "no-room",
                "There is no room for it",
                told(&error),
            ),
            _ => Self::failed(&error),
        }
    }
}

impl From<settlement::Error> for Problem {
    fn from(error: settlement::Error) -> Self {
        if error.is_retryable() { Self::unavailable(told(&error)) } else { Self::failed(&error) }
    }
}

impl From<broker::Error> for Problem {
    fn from(error: broker::Error) -> Self {
        Self::failed(&error)
    }
}
