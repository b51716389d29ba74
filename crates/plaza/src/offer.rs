//! `plaza offer`: look at what is for rent and what it costs.

use api::Listed;
use market::quote::{Inquiry, Quote};
use serde_json::json;

use crate::{
    command::OfferCommand,
    config::Config,
    daemon::{self, Reached},
    failure::{Failure, Result},
    run::{
        dollars, hourly,
        order::{Names, max_rate, unserved},
    },
    voice::table,
};

pub(crate) async fn offer(config: &Config, command: &OfferCommand) -> Result<()> {
    let reached = daemon::expect(config).await?;
    match command {
        OfferCommand::List => list(config, &reached).await,
        OfferCommand::View { offer } => view(config, &reached, offer).await,
        OfferCommand::Quote { wish, max_price, timeout } => {
            let network = &reached.network.descriptor;
            let typed = max_price.as_deref();
            let limit = typed.map(|it| max_rate(it, Names::FLAGS.price, reached.decimals()));
            let inquiry = Inquiry {
                wish: wish.wish(),
                time_limit: timeout.unwrap_or(network.profile.market.time_limit),
                max_rate: limit.transpose()?,
                token: network.contracts.token,
            };
            quote(config, &reached, &inquiry).await
        }
    }
}

async fn list(config: &Config, reached: &Reached) -> Result<()> {
    let offers = reached.client.offers().await?;
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(&json!({ "offers": offers }), || {
        let rows: Vec<_> = offers.iter().map(|offer| row(offer, decimals)).collect();
        table(&["OFFER", "PROVIDER", "MACHINE", "PARTS", "PRICE", "ONLINE"], &rows)
    });
    Ok(())
}

fn row(listed: &Listed, decimals: u8) -> Vec<String> {
    let offer = &listed.offer.document;
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    vec![
        short(listed),
        offer.provider.to_string(),
        offer.machine.resources.to_string(),
        word(offer.machine.divisible),
        hourly(offer.rate, decimals),
        word(listed.connected),
    ]
}

fn short(listed: &Listed) -> String {
    listed.digest.to_string().chars().take(12).collect()
}

async fn view(config: &Config, reached: &Reached, name: &str) -> Result<()> {
    let offers = reached.client.offers().await?;
    let mut found = offers.iter().filter(|offer| offer.digest.to_string().starts_with(name));
    let offer = match (found.next(), found.next()) {
        (Some(offer), None) => offer,
        (Some(_), Some(_)) => {
            return Err(Failure::new(format!(
                "several offers begin with '{name}': give more digits"
            )));
        }
        (None, _) => {
            return Err(Failure::new(format!("no offer begins with '{name}'"))
                .advise("what is for rent: plaza offer list"));
        }
    };
    config.voice.answer(offer, || {
        serde_json::to_string_pretty(offer).expect("answers are plain data with string keys")
    });
    Ok(())
}

async fn quote(config: &Config, reached: &Reached, inquiry: &Inquiry) -> Result<()> {
    let quote = reached.client.quote(inquiry).await?;
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(&quote, || told(&quote, decimals));
    Ok(())
}

fn told(quote: &Quote, decimals: u8) -> String {
    if quote.ranked.is_empty() {
        return unserved(quote, Names::FLAGS).to_string();
    }
    ranked(quote, decimals)
}

/// The offers that serve, cheapest first.
pub(crate) fn ranked(quote: &Quote, decimals: u8) -> String {
    let rows: Vec<_> = quote
        .ranked
        .iter()
        .map(|quoted| {
            vec![
                quoted.offer.to_string().chars().take(12).collect(),
                quoted.resources.to_string(),
                hourly(quoted.rate, decimals),
                dollars(quoted.full_price, decimals),
                dollars(quoted.hold, decimals),
            ]
        })
        .collect();
    table(&["OFFER", "RESERVED", "PRICE", "UNTIL THE LIMIT", "PUT ASIDE"], &rows)
}
