//! The descriptor: all a newcomer needs to join a network.

use market::{Domain, document::TokenDomain, escrow::Windows};
use primitives::{Address, B256, Key, PeerId, Signature, keccak256};
use serde::{Deserialize, Serialize};

use crate::{Error, Profile};

/// Where a network's contracts are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// The root.
    pub plaza: Address,
    /// The present escrow.
    pub escrow: Address,
    /// The registry of providers.
    pub providers: Address,
    /// The stablecoin deals are paid in.
    pub token: Address,
    /// What the token calls itself in its typed data.
    pub token_domain: TokenDomain,
    /// The token's decimals.
    pub token_decimals: u8,
}

/// A gateway of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Its account: named in orders, signs this descriptor.
    pub account: Address,
    /// Its transport key.
    pub peer: PeerId,
    /// Where providers reach it, as multiaddresses.
    pub addresses: Vec<String>,
    /// Where renters reach its API.
    pub url: String,
}

/// A network, as handed out to newcomers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The network's constitution.
    pub profile: Profile,
    /// The chain.
    pub chain_id: u64,
    /// The hash of the chain's first block.
    pub genesis: B256,
    /// A block before which nothing of this network lies: whoever reads events begins there.
    pub first_block: u64,
    /// The contracts on it.
    pub contracts: Contracts,
    /// Gateways; the first one signed.
    pub gateways: Vec<Gateway>,
    /// Where the chain's JSON-RPC is reached; empty where only the tunnel of a gateway leads there.
    pub rpc_urls: Vec<String>,
    /// The first gateway's account over everything above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Descriptor {
    /// Read a descriptor and check that the gateway it names first signed it.
    ///
    /// # Errors
    /// When it is malformed or not signed.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let read: Self = serde_json::from_str(json).map_err(Error::Descriptor)?;
        let signer = read.gateways.first().map(|gateway| gateway.account).unwrap_or_default();
        match read.signature {
            Some(signature) if signature.is_by(signer, read.digest()) => Ok(read),
            _ => Err(Error::NotSigned(signer)),
        }
    }

    /// The same, signed by the first gateway's key.
    #[must_use]
    pub fn signed(mut self, key: &Key) -> Self {
        self.signature = Some(key.sign(self.digest()));
        self
    }

    /// What is signed.
    pub fn digest(&self) -> B256 {
        let unsigned = Self { signature: None, ..self.clone() };
        let json = serde_json::to_vec(&unsigned).expect("plain data with string keys serialises");
        keccak256([b"Plaza network descriptor 1\n".as_slice(), &json].concat())
    }

    /// The domain of offers, orders and off-chain intents.
    pub fn plaza_domain(&self) -> Domain {
        Domain { chain_id: self.chain_id, contract: self.contracts.plaza }
    }

    /// The domain of terms and receipts.
    pub fn escrow_domain(&self) -> Domain {
        Domain { chain_id: self.chain_id, contract: self.contracts.escrow }
    }

    /// The escrow's windows.
    pub fn windows(&self) -> Windows {
        self.profile.escrow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(key: &Key) -> Descriptor {
        Descriptor {
            profile: Profile::preset("local").expect("a preset"),
            chain_id: 7_700_000_001,
            genesis: B256::repeat_byte(1),
            first_block: 0,
            contracts: Contracts {
                plaza: Address::repeat_byte(2),
                escrow: Address::repeat_byte(3),
                providers: Address::repeat_byte(4),
                token: Address::repeat_byte(5),
                token_domain: TokenDomain { name: "Test Dollar".into(), version: "1".into() },
                token_decimals: 6,
            },
            gateways: vec![Gateway {
                account: key.address(),
                peer: PeerId("peer".into()),
                addresses: vec!["/ip4/127.0.0.1/tcp/7701".into()],
                url: "http://127.0.0.1:7700".into(),
            }],
            rpc_urls: Vec::new(),
            signature: None,
        }
    }

    #[test]
    fn a_descriptor_is_read_back_only_as_it_was_signed() {
        let key = Key::from_bytes([7; 32]).expect("a key");
        let signed = descriptor(&key).signed(&key);
        let json = serde_json::to_string(&signed).expect("plain data");
        assert_eq!(Descriptor::parse(&json).expect("signed"), signed);

        let forged = json.replace("127.0.0.1:7700", "127.0.0.1:6600");
        assert!(matches!(Descriptor::parse(&forged), Err(Error::NotSigned(_))));
        let unsigned = serde_json::to_string(&descriptor(&key)).expect("plain data");
        assert!(matches!(Descriptor::parse(&unsigned), Err(Error::NotSigned(_))));
    }
}
