//! Chosen -> Signed: the renter consents to the terms, or the bid runs out.
//!
//! In a session: the session's key is ours, so we sign, whether or not the renter is there; the
//! signature leaves only after the fact that holds it is durable. Without one, upon a consent: check
//! that the renter itself signed it. Upon a stop, or when `acceptBy` has passed: the deal is void;
//! nothing was signed, so nothing can be opened.

use market::{DealFact, Session, Signed, document::Consent, fact::Submission, stage::Chosen};

use crate::{
    ask::answer_later,
    error::Error,
    line::{Answer, Inbound, Inbox, Stride},
    refusal::Refusal,
    world::{TICK, World},
};

pub(crate) async fn terms(
    world: &World,
    wanted: &Submission,
    it: &Chosen,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let terms = &it.agreement.terms.document;
    loop {
        if let Some(why) = &it.stop {
            return Ok(Stride::failed(why.clone()));
        }
        if world.clock.now() > terms.accept_by {
            return Ok(Stride::failed("the renter did not sign before the bid ran out"));
        }
        if let Some(grant) = &wanted.session {
            let consent = in_session(world, grant, it);
            return Ok(Stride::of(DealFact::Signed { consent }));
        }
        // A closed inbox means the gateway is shutting down; the tick keeps this step waiting.
        let Ok(Some(message)) = tokio::time::timeout(TICK, inbox.recv()).await else { continue };
        match message {
            Inbound::Consent(consent, asker) => match check(world, it, &consent) {
                Ok(()) => {
                    let fact = DealFact::Signed { consent };
                    return Ok(Stride::answering(fact, Answer::Consented(asker)));
                }
                Err(refusal) => drop(asker.send(Err(refusal))),
            },
            Inbound::Stop(why, asker) => return Ok(Stride::stop(why, asker)),
            other => answer_later(other),
        }
    }
}

fn in_session(world: &World, grant: &Signed<Session>, it: &Chosen) -> Consent {
    let signature = world.signer.sign(it.agreement.deal.0);
    Consent::Session { grant: Box::new(grant.clone()), signature }
}

fn check(world: &World, it: &Chosen, consent: &Consent) -> Result<(), Refusal> {
    let terms = &it.agreement.terms.document;
    let (signature, digest, what) = match consent {
        Consent::Terms { signature } => (signature, Some(it.agreement.deal.0), "the terms"),
        Consent::Authorization { signature } => {
            let digest = terms.authorization(&world.escrow(), &world.token_domain);
            (signature, digest, "the token authorisation")
        }
        Consent::Session { .. } => {
            return Err(Refusal::NotSigned("the order was not given in a session".into()));
        }
    };
    match digest {
        Some(digest) if signature.is_by(terms.renter, digest) => Ok(()),
        _ => Err(Refusal::NotSigned(format!("{what} must be signed by renter {}", terms.renter))),
    }
}
