//! Who a peer is (its transport key) and where it is reached.

use std::{fmt, net::SocketAddr, str::FromStr};

use libp2p::{
    Multiaddr,
    identity::{self, Keypair},
    multiaddr::Protocol,
};
use primitives::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::Error;

/// The Ed25519 key that authenticates this peer on every connection.
#[derive(Clone)]
pub struct TransportKey(Keypair);

/// Where a peer is reached, as a multiaddress: `/ip4/127.0.0.1/tcp/4001/p2p/12D3Koo...`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Multiaddr);

impl TransportKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Self {
        Self(Keypair::generate_ed25519())
    }

    /// Read a key as [`to_bytes`](Self::to_bytes) wrote it.
    ///
    /// # Errors
    /// [`Error::Key`] when the bytes are not an Ed25519 key in libp2p's protobuf form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::Key { why };
        let pair =
            Keypair::from_protobuf_encoding(bytes).map_err(|error| refuse(error.to_string()))?;
        match pair.key_type() {
            identity::KeyType::Ed25519 => Ok(Self(pair)),
            other => Err(refuse(format!("expected Ed25519, found {other:?}"))),
        }
    }

    /// The key in libp2p's protobuf form. Secret: keep it in a file that only its owner reads.
    ///
    /// # Errors
    /// [`Error::Key`] when the key cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.0.to_protobuf_encoding().map_err(|error| Error::Key { why: error.to_string() })
    }

    /// The name by which other peers know the holder of this key.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.0.public().to_peer_id().to_base58())
    }

    pub(crate) const fn pair(&self) -> &Keypair {
        &self.0
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportKey({})", self.peer_id())
    }
}

impl Address {
    /// The TCP address `socket`, of whichever peer is there.
    pub fn tcp(socket: SocketAddr) -> Self {
        Self(Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port())))
    }

    /// The same place, to be accepted only when it proves to be `peer`.
    ///
    /// # Errors
    /// [`Error::Address`] when `peer` is not a peer id.
    pub fn of(self, peer: &PeerId) -> Result<Self, Error> {
        let id = transport_id(peer)
            .ok_or_else(|| refuse(&peer.0, "expected a peer id in base58 form"))?;
        Ok(Self(self.place().with(Protocol::P2p(id))))
    }

    /// The peer that must be found there, if the address names one.
    pub fn peer(&self) -> Option<PeerId> {
        self.peer_key().map(|id| PeerId(id.to_base58()))
    }

    /// The socket address, when the address is plain TCP over IP.
    pub fn socket(&self) -> Option<SocketAddr> {
        let mut parts = self.0.iter();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => ip.into(),
            Protocol::Ip6(ip) => ip.into(),
            _ => return None,
        };
        match parts.next()? {
            Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
            _ => None,
        }
    }

    pub(crate) fn peer_key(&self) -> Option<libp2p::PeerId> {
        match self.0.iter().last()? {
            Protocol::P2p(id) => Some(id),
            _ => None,
        }
    }

    /// The address without the peer's name.
    pub(crate) fn place(&self) -> Multiaddr {
        self.0.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
    }

    pub(crate) const fn from_place(place: Multiaddr) -> Self {
        Self(place)
    }
}

/// The transport's own form of a peer's name, or `None` when the text is no such name.
pub(crate) fn transport_id(peer: &PeerId) -> Option<libp2p::PeerId> {
    peer.0.parse().ok()
}

fn refuse(text: &str, why: &str) -> Error {
    Error::Address { text: text.chars().take(120).collect(), why: why.to_owned() }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let address = Self(
            text.parse()
                .map_err(|error: libp2p::multiaddr::Error| refuse(text, &error.to_string()))?,
        );
        match address.socket() {
            Some(_) => Ok(address),
            None => Err(refuse(text, "expected /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_being_written_and_read() {
        let key = TransportKey::generate();
        let read = TransportKey::from_bytes(&key.to_bytes().unwrap()).unwrap();
        assert_eq!(read.peer_id(), key.peer_id());
        assert!(TransportKey::from_bytes(b"not a key").is_err());
    }

    #[test]
    fn an_address_names_its_place_and_its_peer() {
        let peer = TransportKey::generate().peer_id();
        let place = Address::tcp("127.0.0.1:4001".parse().unwrap());
        let whole = place.clone().of(&peer).unwrap();
        assert_eq!(whole.to_string(), format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}"));
        assert_eq!(whole.to_string().parse::<Address>().unwrap(), whole);
        assert_eq!(whole.peer(), Some(peer));
        assert_eq!(place.peer(), None);
        assert_eq!(whole.socket(), Some("127.0.0.1:4001".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for wrong in
            ["", "127.0.0.1:4001", "/ip4/127.0.0.1", "/dns4/a.example/tcp/1", "/ip4/1/tcp/2"]
        {
            let error = wrong.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{error} names '{wrong}'");
        }
        let nobody = PeerId("nobody".to_owned());
        assert!(Address::tcp("127.0.0.1:1".parse().unwrap()).of(&nobody).is_err());
    }
}
