//! A chain that is away when we start: it is waited for, since there may be work to take up again.

use std::time::Duration;

use settlement::Error;

use crate::failure::{Doing as _, Result};

const AGAIN: Duration = Duration::from_secs(1);

/// Ask again and again while the chain is away.
///
/// # Errors
/// Any other, at once.
pub(crate) async fn awaited<T>(
    doing: &str,
    mut ask: impl AsyncFnMut() -> std::result::Result<T, Error>,
) -> Result<T> {
    let mut away = false;
    loop {
        match ask().await {
            Err(error) if error.is_retryable() => {
                if !std::mem::replace(&mut away, true) {
                    let cause = std::error::Error::source(&error).map(tracing::field::display);
                    tracing::warn!(doing, %error, cause, "waiting for the chain");
                }
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer.doing(|| doing.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use settlement::RpcError;

    use super::*;

    fn away() -> Error {
        let (endpoint, why) = ("a node".to_owned(), "nobody is there".to_owned());
        Error::Rpc { operation: "asking".into(), source: RpcError::Unreachable { endpoint, why } }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_that_is_away_is_asked_until_it_is_back() {
        let mut asked = 0;
        let answer = awaited("asking", async || {
            asked += 1;
            if asked < 5 { Err(away()) } else { Ok(asked) }
        });
        assert_eq!(answer.await.expect("it is back"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn another_chain_is_no_matter_of_time() {
        let other = async || Err::<(), _>(Error::OtherChain { found: 1, wanted: 2 });
        assert!(awaited("asking", other).await.is_err());
    }
}
