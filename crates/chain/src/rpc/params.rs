//! Parameters in, errors out: the two ends of every method.

use alloy_primitives::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{error::Error, pool::Refusal};

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, serde::Serialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// JSON-RPC or Ethereum error code.
    pub code: i64,
    /// What went wrong, in the words that wallets and libraries look for.
    pub message: String,
    /// Revert data of the EVM, where there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// The bytes are no JSON.
    pub(crate) const PARSE: i64 = -32700;
    /// The JSON is no request.
    pub(crate) const REQUEST: i64 = -32600;
    const METHOD: i64 = -32601;
    const PARAMS: i64 = -32602;
    const INTERNAL: i64 = -32603;
    const FAILED: i64 = -32000;
    const NOT_FOUND: i64 = -32001;
    const REFUSED: i64 = -32003;
    const REVERTED: i64 = 3;

    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(Self::METHOD, format!("the method {method} does not exist/is not available"))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Self::PARAMS, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Self::FAILED, message)
    }

    pub(crate) fn no_block() -> Self {
        Self::new(Self::NOT_FOUND, "block not found")
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::Undecodable(_) | Refusal::BadSignature(_) => Self::PARAMS,
            _ => Self::REFUSED,
        };
        Self::new(code, refusal.to_string())
    }

    /// A call that ended in `REVERT`, with the reason where it is in a known form.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: Self::REVERTED, message, data: Some(serde_json::json!(output)) }
    }

    /// A failure of ours, told in full to the log and in short to the caller.
    pub(crate) fn internal(error: &Error) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(Self::INTERNAL, error.to_string())
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        Self::internal(&error)
    }
}

/// The reason in revert data: `Error(string)` or `Panic(uint256)` of Solidity.
fn reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_at_checked(4)?;
    let word = |index: usize| arguments.get(index * 32..index * 32 + 32);
    let small = |index: usize| {
        let (high, low) = word(index)?.split_at(24);
        let low = u64::from_be_bytes(low.try_into().ok()?);
        high.iter().all(|byte| *byte == 0).then_some(low)
    };
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let start = usize::try_from(small(0)?).ok()?;
            let length = usize::try_from(small(start.checked_div(32)?)?).ok()?;
            let text = arguments.get(start.checked_add(32)?..)?.get(..length)?;
            String::from_utf8(text.to_vec()).ok()
        }
        [0x4e, 0x48, 0x7b, 0x71] => Some(match small(0)? {
            0x00 => "generic panic".into(),
            0x01 => "assert(false)".into(),
            0x11 => "arithmetic underflow or overflow".into(),
            0x12 => "division or modulo by zero".into(),
            0x21 => "enum overflow".into(),
            0x22 => "invalid encoded storage byte array accessed".into(),
            0x31 => "out-of-bounds array access; popping on an empty array".into(),
            0x32 => "out-of-bounds access of an array or bytesN".into(),
            0x41 => "out of memory".into(),
            0x51 => "uninitialized function".into(),
            code => format!("unknown panic code: {code:#x}"),
        }),
        _ => None,
    }
}

/// The positional parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<Value>);

impl Params {
    /// Reads the `params` member; absent and null are the empty list.
    pub(crate) fn new(params: Value) -> Result<Self, RpcError> {
        match params {
            Value::Null => Ok(Self::default()),
            Value::Array(values) => Ok(Self(values)),
            _ => Err(RpcError::invalid("params: positional parameters (an array) are expected")),
        }
    }

    /// The parameter as it came; `None` where absent or null.
    pub(crate) fn raw(&self, index: usize) -> Option<&Value> {
        self.0.get(index).filter(|value| !value.is_null())
    }

    /// A parameter that may be left out.
    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        self.raw(index)
            .map(|value| {
                T::deserialize(value).map_err(|error| {
                    RpcError::invalid(format!("invalid argument {index} ({name}): {error}"))
                })
            })
            .transpose()
    }

    /// A parameter that must be there.
    pub(crate) fn required<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
    ) -> Result<T, RpcError> {
        self.optional(index, name)?.ok_or_else(|| {
            RpcError::invalid(format!("missing value for required argument {index} ({name})"))
        })
    }
}
