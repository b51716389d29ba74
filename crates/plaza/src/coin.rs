//! Coin for the fees of a chain that is somebody else's.

use std::{path::Path, sync::Arc};

use primitives::Address;
use settlement::{Error, Rpc, endow};

use crate::{
    failure::{Doing as _, Failure, Result},
    folder,
};

/// Give our accounts coin for the chain's own fees, where they lack it and somebody is to give it.
pub(crate) async fn give_coin(
    rpc: &Arc<dyn Rpc>,
    giver: Option<&Path>,
    wanted: &[(Address, u64)],
) -> Result<()> {
    let Some(path) = giver else { return Ok(()) };
    let what = || format!("reading {}", path.display());
    let line =
        folder::line(path)?.ok_or_else(|| Failure::new(what()).advise("there is no such file"))?;
    let key = folder::read_key(&line).map_err(|failure| failure.within(what()))?;
    let giving = || format!("giving coin for the chain's fees from {}", key.address());
    endow(rpc.clone(), &key, wanted).await.doing(giving)
}

/// Where coin is what is missing, say how to give some.
pub(crate) fn advise(failure: Failure, error: &Error) -> Failure {
    match error {
        Error::Fees { account, .. } => failure.advise(format!(
            "send coin to {account}, or name a key whose account has some: --fees-from FILE"
        )),
        _ => failure,
    }
}
