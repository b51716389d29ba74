//! `/v1/provider`: what the owner of a provider can ask of it.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use primitives::{Address, Amount, B256};
use provider::{Earnings, Provider, Status};
use serde::{Deserialize, Serialize};
use settlement::{Call, Sent, Settlement};

use crate::{problem::Problem, request};

/// A provider's workshop.
#[derive(Clone)]
pub struct Seller {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The contracts, called by the account that is paid.
    pub settlement: Arc<dyn Settlement>,
    /// The network's stablecoin.
    pub token: Address,
}

/// Move earnings out of the escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// How much; all without.
    pub amount: Option<Amount>,
    /// Into whose wallet; the provider's own without.
    pub to: Option<Address>,
}

/// Earnings that were moved out of the escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// How much.
    pub amount: Amount,
    /// Into whose wallet.
    pub to: Address,
    /// The transaction.
    pub tx: B256,
}

/// What it offers and what runs on it.
pub(crate) async fn provider_view(State(seller): State<Seller>) -> Json<Status> {
    Json(seller.provider.status())
}

/// What it has earned.
pub(crate) async fn provider_earnings(
    State(seller): State<Seller>,
) -> Result<Json<Earnings>, Problem> {
    Ok(Json(earnings(&seller).await?))
}

/// Take no more work.
pub(crate) async fn provider_drain(State(seller): State<Seller>) -> (StatusCode, Json<Status>) {
    seller.provider.drain();
    (StatusCode::ACCEPTED, Json(seller.provider.status()))
}

/// Move earnings out of the escrow.
pub(crate) async fn provider_withdraw(
    State(seller): State<Seller>,
    request::Json(wish): request::Json<Withdrawal>,
) -> Result<Json<Withdrawn>, Problem> {
    let to = wish.to.unwrap_or_else(|| seller.settlement.sender());
    let amount = match wish.amount {
        Some(amount) => amount,
        None => earnings(&seller).await?.balance,
    };
    if amount == Amount::ZERO {
        return Err(Problem::conflict("there is nothing in the escrow to withdraw"));
    }
    let call = Call::Withdraw { token: seller.token, to, amount };
    match seller.settlement.send(call).await? {
        Sent::Done(mined) => Ok(Json(Withdrawn { amount, to, tx: mined.tx })),
        Sent::Refused(refusal) => Err(Problem::conflict(refusal.to_string())),
    }
}

async fn earnings(seller: &Seller) -> Result<Earnings, Problem> {
    seller.provider.earnings().await.map_err(|error| Problem::failed(&error))
}
