//! A profile: every number that makes one network differ from another.

use market::{Rules, escrow::Windows};
use primitives::{Amount, B256, BasisPoints};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A network's constitution. The contracts carry its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is called.
    pub name: String,
    /// The network's share of what is paid (ESC-2).
    pub fee: BasisPoints,
    /// Paid to whoever opens a deal.
    pub open_fee: Amount,
    /// Paid to whoever ends a deal.
    pub close_fee: Amount,
    /// When a block of the chain counts.
    pub depth: Depth,
    /// The escrow's windows.
    pub escrow: Windows,
    /// The market's rules.
    pub market: Rules,
}

/// How deep a block must lie before what it says counts: `{ blocks = 12 }`, `"safe"` or `"finalized"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// So many blocks follow it; 0 where every sealed block is final (the project's own chain).
    Blocks(u64),
    /// The chain's validators have attested it, and only many of them at fault could take it back
    /// (the block tag `safe`).
    Safe,
    /// The chain itself calls it final (the block tag `finalized`).
    Finalized,
}

/// Chain ids from this range mark a network of our own as local: play money, demo keys allowed.
pub const LOCAL_CHAIN_IDS: std::ops::Range<u64> = 7_700_000_000..7_800_000_000;

/// Chain ids that the tools of developers use for chains that last as long as their process.
const DEVELOPERS: [u64; 2] = [1_337, 31_337];

const EVM: &str = include_str!("../../../profiles/evm.toml");
const LOCAL: &str = include_str!("../../../profiles/local.toml");

impl Profile {
    /// The preset of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn preset(name: &str) -> Result<Self, Error> {
        match name {
            "evm" => Self::parse("evm", EVM),
            "local" => Self::parse("local", LOCAL),
            other => Err(Error::NoPreset(other.to_owned())),
        }
    }

    /// Read a profile in TOML; `name` is for the error only.
    ///
    /// # Errors
    /// Names field and line of what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|source| Error::Profile { name: name.to_owned(), source })
    }

    /// The hash the root contract stores and every node compares.
    pub fn hash(&self) -> B256 {
        let json = serde_json::to_vec(self).expect("plain data with string keys serialises");
        primitives::keccak256(json)
    }

    /// Whether a chain id marks a local network.
    pub fn is_local(chain_id: u64) -> bool {
        LOCAL_CHAIN_IDS.contains(&chain_id) || DEVELOPERS.contains(&chain_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_preset_holds_the_defaults_of_the_protocol() {
        let local = Profile::preset("local").expect("a preset");
        assert_eq!(local.market, Rules::default());
        assert_eq!(local.escrow.dispute.0, 600);
    }

    #[test]
    fn a_bid_may_be_accepted_as_long_as_the_escrow_allows() {
        for name in ["evm", "local"] {
            let preset = Profile::preset(name).expect("a preset");
            assert!(preset.market.bid_lead < preset.escrow.accept, "{name}");
            assert_eq!(preset.name, name);
        }
    }

    #[test]
    fn a_network_s_depth_is_a_number_of_blocks_or_a_word_of_the_chain_s() {
        let with = |depth: &str| {
            let text = EVM.replace("depth = { blocks = 3 }", &format!("depth = {depth}"));
            Profile::parse("mine", &text).map(|profile| profile.depth)
        };
        assert_eq!(with("{ blocks = 12 }").expect("a depth"), Depth::Blocks(12));
        assert_eq!(with("\"safe\"").expect("a depth"), Depth::Safe);
        assert_eq!(with("\"finalized\"").expect("a depth"), Depth::Finalized);
        assert!(with("\"soon\"").is_err());
    }

    #[test]
    fn any_changed_number_changes_the_hash() {
        let local = Profile::preset("local").expect("a preset");
        let mut other = local.clone();
        other.fee = BasisPoints(301);
        assert_ne!(local.hash(), other.hash());
    }

    #[test]
    fn a_wrong_profile_is_refused_with_field_and_line() {
        let text = LOCAL.replace("fee = 300 ", "fee = \"much\" ");
        let error = Profile::parse("mine", &text).expect_err("a word is no fee");
        let source = std::error::Error::source(&error).expect("the parser's words").to_string();
        assert!(source.contains("line 3") && source.contains("fee"), "{source}");
    }
}
