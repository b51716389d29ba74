//! Reading requests: JSON bodies whose every flaw is named by field and line, and names in paths.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        read(&bytes).map(Self)
    }
}

/// The parameters in a path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(names)| Self(names)).map_err(|flaw| Problem::malformed(flaw.body_text()))
    }
}

/// Why a body did not arrive.
pub(crate) fn unread(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(
            axum::extract::rejection::FailedToBufferBody::LengthLimitError(_),
        ) => Problem::too_large("the body is longer than this resource takes"),
        other => Problem::malformed(other.body_text()),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|flaw| {
        let path = flaw.path().to_string();
        let (line, column) = (flaw.inner().line(), flaw.inner().column());
        let field = (path != ".").then_some(path);
        let place = field.as_ref().map_or_else(String::new, |field| format!("field '{field}': "));
        Problem::malformed(format!("{place}{}", flaw.inner())).at(field, line, column)
    })?;
    json.end().map_err(|flaw| {
        Problem::malformed(flaw.to_string()).at(None, flaw.line(), flaw.column())
    })?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use market::Work;

    use super::*;

    #[test]
    fn a_malformed_document_is_refused_with_field_and_line() {
        let text = "{\n  \"command\": [\"true\"],\n  \"wish\": {\n    \"resources\": {\n      \
                    \"cpu\": \"one\"\n    }\n  }\n}";
        let problem = read::<Work>(text.as_bytes()).expect_err("a word is no number of millicores");
        assert_eq!(problem.field.as_deref(), Some("wish.resources.cpu"));
        assert_eq!(problem.line, Some(5));
        assert_eq!(problem.status, 422);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let text = "{\n  \"comand\": [\"true\"]\n}";
        let problem = read::<Work>(text.as_bytes()).expect_err("there is no such field");
        assert!(problem.detail.contains("comand"), "{problem:?}");
        assert_eq!(problem.line, Some(2));
    }

    #[test]
    fn what_follows_a_document_is_refused() {
        assert!(read::<u8>(b"1 2").is_err());
    }
}
