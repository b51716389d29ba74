//! `/v1/deals`: the renter's consent, and the papers of a deal.

use axum::{Json, extract::State, http::StatusCode};
use broker::{DealView, JobView};
use market::document::Consent;
use primitives::DealId;

use crate::{
    answer::{Cosigned, DealReceipt},
    problem::Problem,
    request::{self, Named},
    world::World,
};

/// The renter agrees to a deal's terms.
pub(crate) async fn deal_consent(
    State(world): State<World>,
    Named(deal): Named<String>,
    request::Json(consent): request::Json<Consent>,
) -> Result<StatusCode, Problem> {
    world.broker.consent(id(&deal)?, consent).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything anyone needs to check, present or settle a deal.
pub(crate) async fn deal_receipt(
    State(world): State<World>,
    Named(deal): Named<String>,
) -> Result<Json<DealReceipt>, Problem> {
    let wanted = id(&deal)?;
    let job = world.broker.job_of(wanted).and_then(|job| world.broker.job(job));
    let of_job = |job: JobView| job.deals.into_iter().find(|it| it.agreement.deal == wanted);
    let found = job.and_then(of_job);
    let none = || Problem::unknown(format!("no deal {wanted} is kept here"));
    let escrow = world.settlement.escrow();
    found.map(|deal| Json(papers(deal, escrow))).ok_or_else(none)
}

fn id(text: &str) -> Result<DealId, Problem> {
    text.parse().map_err(|flaw| Problem::malformed(format!("{flaw}")))
}

fn papers(deal: DealView, escrow: market::Domain) -> DealReceipt {
    let running = deal.last.map(|last| Cosigned {
        receipt: last.receipt.document,
        provider: last.receipt.signature,
        renter: Some(last.renter),
    });
    let terminal = deal.delivery.map(|delivery| Cosigned {
        receipt: delivery.receipt.document,
        provider: delivery.receipt.signature,
        renter: deal.signature,
    });
    DealReceipt {
        deal: deal.agreement.deal,
        job: deal.agreement.job,
        chain_id: escrow.chain_id,
        escrow: escrow.contract,
        terms: deal.agreement.terms,
        running,
        terminal,
        closing: deal.closing,
    }
}
