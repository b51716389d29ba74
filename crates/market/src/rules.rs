//! The market's own constants, each a default of a profile.

use primitives::{BasisPoints, Bytes, Seconds};
use serde::{Deserialize, Serialize};

/// What the parties of one network agree on beyond the contracts. PROTOCOL names every default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// How long work goes on, and is billed, while the renter's side is silent.
    pub grace: Seconds,
    /// How long a bid stays firm: from the bid to `acceptBy`.
    pub bid_lead: Seconds,
    /// Time between `acceptBy` and the start of the time limit, for inputs and images.
    pub preparation: Seconds,
    /// What is put aside beyond the time limit's price (ESC-1).
    pub hold_buffer: BasisPoints,
    /// The time limit of a job that names none.
    pub time_limit: Seconds,
    /// The longest time limit of one deal; longer leases are chains of deals.
    pub longest_deal: Seconds,
    /// How often a running receipt is co-signed.
    pub receipt_interval: Seconds,
    /// How far the renter's side tolerates the provider's clock ahead of its own.
    pub clock_slack: Seconds,
    /// A fault of the provider before this many seconds is free of charge (ESC-4, decision 6).
    pub free_failure: Seconds,
    /// The output limit of a job that names none.
    pub output_limit: Bytes,
    /// The most bids one renter may hold unanswered at one provider.
    pub bids_per_renter: u32,
    /// How long the blobs of a settled deal are kept.
    pub blob_retention: Seconds,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            grace: Seconds(60),
            bid_lead: Seconds(30),
            preparation: Seconds(900),
            hold_buffer: BasisPoints(2_000),
            time_limit: Seconds(3_600),
            longest_deal: Seconds(7 * 86_400),
            receipt_interval: Seconds(5),
            clock_slack: Seconds(2),
            free_failure: Seconds(300),
            output_limit: Bytes::gibi(1),
            bids_per_renter: 16,
            blob_retention: Seconds(86_400),
        }
    }
}
