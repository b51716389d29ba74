//! Answers what the gateway asks.
//!
//! Upon a request for a price: decide (`bid`), write the bid down, then let its signature leave;
//! the same request again gets the same bid while it is firm. Upon a command: give it to the line
//! of its lease, which answers once it is written down. Upon anyone but our gateway: no answer.
//!
//! Invariant: one request for a price is decided at a time, so no two see the same free capacity
//! (SCH-8).

use std::sync::{Arc, PoisonError};

use market::{
    Signed,
    fact::Agreement,
    message::{Bid, BidAnswer, BidRequest, CommandAnswer, Instruction, ToProvider},
};
use net::{Incoming, Message};
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    bid::{Decision, Proposal, Standing, decide},
    error::{Error, story},
    inbox::{Inbound, Inbox},
    lease,
    line::Line,
    world::Workshop,
};

/// Where requests are answered.
#[derive(Clone)]
pub(crate) struct Desk {
    shop: Arc<Workshop>,
    lines: Lines,
    /// Held while a bid is decided on.
    bidding: Arc<tokio::sync::Mutex<()>>,
}

/// The lines that are being carried; dropped, they stop where they are.
pub(crate) type Lines = Arc<std::sync::Mutex<JoinSet<()>>>;

impl Desk {
    pub(crate) fn new(shop: Arc<Workshop>, lines: Lines) -> Self {
        Self { shop, lines, bidding: Arc::default() }
    }

    /// Answer until the transport is closed.
    pub(crate) async fn answer_all(self) {
        let mut answers = JoinSet::new();
        while let Some(incoming) = self.shop.world.transport.accept().await {
            while answers.try_join_next().is_some() {}
            if self.shop.gateway.is(&incoming.peer) {
                let desk = self.clone();
                answers.spawn(async move { desk.answer(incoming).await });
            }
        }
    }

    async fn answer(self, incoming: Incoming) {
        let Incoming { message, reply, .. } = incoming;
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToProvider::Bid(request)) => match self.bid(&request).await {
                Ok(answer) => Some(header(&answer)),
                Err(error) => {
                    self.shop.floor.trouble(story(&error));
                    None
                }
            },
            Ok(ToProvider::Command(instruction)) => {
                self.command(*instruction).await.map(|answer| header(&answer))
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway asks what we do not understand");
                None
            }
        };
        // Without an answer the gateway sees a cut, and asks again.
        if let Some(header) = answer
            && let Err(error) = reply.send(Message::new(header)).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "an answer was not heard");
        }
    }

    async fn bid(&self, request: &BidRequest) -> Result<BidAnswer, Error> {
        let _turn = self.bidding.lock().await;
        let floor = &self.shop.floor;
        let job = request.order.document.id(&self.shop.world.settlement.plaza());
        if let Some(given) = floor.firm_bid(job, request.deal_salt) {
            return Ok(said(&given));
        }
        let refused = |why: &str| Ok(BidAnswer::Refused { why: why.to_owned() });
        if floor.is_draining() {
            return refused("this provider takes no new work");
        }
        match self.decision(request).await? {
            None => refused("this provider has not joined the network yet"),
            Some(Decision::Refused { why }) => refused(&why),
            Some(Decision::Busy { until }) => Ok(BidAnswer::Busy { until }),
            Some(Decision::Bid(proposal)) => self.give(request, *proposal).await,
        }
    }

    /// Look at what the decision depends on, and decide; `None` before there is an offer.
    async fn decision(&self, request: &BidRequest) -> Result<Option<Decision>, Error> {
        let (world, config, floor) = (&self.shop.world, &self.shop.config, &self.shop.floor);
        let Some(offer) = floor.offer() else { return Ok(None) };
        let order = &request.order.document;
        let failed = |operation| move |source| Error::Chain { operation, source };
        let (time, admission, funds) = tokio::join!(
            self.shop.time(),
            world.settlement.admission(order.token),
            world.settlement.balances(order.token, order.renter),
        );
        let admission = admission.map_err(failed("reading what opening depends on"))?;
        let funds = funds.map_err(failed("reading a renter's balance"))?;
        if admission.paused || !admission.present || !admission.listed {
            let why = "the network opens no deals in this token now".to_owned();
            return Ok(Some(Decision::Refused { why }));
        }
        let standing = Standing {
            plaza: &world.settlement.plaza(),
            escrow: &world.settlement.escrow(),
            offer: &offer,
            policy: &config.policy,
            rules: &config.rules,
            fee: admission.fee,
            gateway: config.gateway_account,
            time: time?,
            funds: [funds.wallet, funds.escrow],
            unanswered: floor.unanswered(order.renter),
        };
        Ok(Some(floor.on_calendar(|calendar| decide(request, &standing, calendar))))
    }

    /// Write a bid down, then let it leave.
    async fn give(&self, request: &BidRequest, proposal: Proposal) -> Result<BidAnswer, Error> {
        let Proposal { deal, job, terms, offer, resources } = proposal;
        let agreement = Agreement {
            deal,
            job,
            terms: Signed { signature: self.shop.config.key.sign(deal.0), document: terms },
            peer: self.shop.world.transport.local(),
            offer,
            resources,
            salt: request.deal_salt,
        };
        match Line::begin(&self.shop, agreement.clone()).await {
            Ok(line) => {
                carry(&self.shop, &self.lines, line);
                Ok(said(&agreement))
            }
            Err(error) => {
                self.shop.floor.release(deal);
                Err(error)
            }
        }
    }

    async fn command(&self, instruction: Instruction) -> Option<CommandAnswer> {
        let Some(first) = instruction.commands.first() else {
            let why = "the instruction holds no command".to_owned();
            return Some(CommandAnswer::Refused { why });
        };
        let deal = first.document.deal;
        let Some(inbox) = self.shop.floor.inbox(deal) else {
            let why = "this provider has no such lease, or it is over".to_owned();
            return Some(CommandAnswer::Refused { why });
        };
        let (answer, answered) = oneshot::channel();
        inbox.send(Inbound { instruction, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Carry a line from now on.
pub(crate) fn carry(shop: &Arc<Workshop>, lines: &Lines, line: Line) {
    let (sender, inbox) = Inbox::new(line.fence());
    shop.floor.enter(line.stage.agreement().clone(), sender);
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    while lines.try_join_next().is_some() {}
    lines.spawn(lease::carry(Arc::clone(shop), line, inbox));
}

fn said(agreement: &Agreement) -> BidAnswer {
    BidAnswer::Bid(Box::new(Bid {
        terms: agreement.terms.clone(),
        offer: agreement.offer,
        salt: agreement.salt,
        resources: agreement.resources,
    }))
}

fn header(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("plain data with string keys serialises")
}
