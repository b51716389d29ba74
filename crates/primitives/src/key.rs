//! secp256k1 keys: signing digests and finding out who signed.
//!
//! Signatures are the 65 bytes `r || s || v` of Ethereum with `v` 27 or 28 and `s` in the lower
//! half of the order, so that each digest has one signature per key and contracts accept it
//! unchanged.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::{
    Message, SECP256K1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A private key; never printed, never serialised.
#[derive(Clone)]
pub struct Key {
    secret: SecretKey,
    address: Address,
}

/// The 65 bytes of a signature over a digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 65]);

/// Why bytes are not a key.
#[derive(Debug, thiserror::Error)]
#[error("reading a private key: not 32 bytes between 1 and the order of secp256k1")]
pub struct KeyError;

/// Half the order of secp256k1; a signature with a larger `s` is refused (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

impl Key {
    /// The key made of these 32 bytes.
    ///
    /// # Errors
    /// Refuses zero and anything at or above the order of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let secret = SecretKey::from_byte_array(bytes).map_err(|_| KeyError)?;
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        let address = Address::from_slice(&keccak256(&public[1..])[12..]);
        Ok(Self { secret, address })
    }

    /// The 32 secret bytes, for an encrypted keystore and nothing else.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.secret.secret_bytes()
    }

    /// The account of this key.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Sign a digest (RFC 6979, deterministic, low `s`).
    pub fn sign(&self, digest: B256) -> Signature {
        let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (recovery, compact) = signed.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = 27 + u8::from(i32::from(recovery) & 1 == 1);
        Signature(bytes)
    }
}

impl Signature {
    /// Whose key signed `digest`, or `None` when this is no valid signature of anybody.
    pub fn signer(&self, digest: B256) -> Option<Address> {
        if self.0[32..64] > HALF_ORDER[..] {
            return None;
        }
        let recovery = RecoveryId::try_from(i32::from(self.0[64].checked_sub(27)?)).ok()?;
        let signature = RecoverableSignature::from_compact(&self.0[..64], recovery).ok()?;
        let public = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
        let hash = keccak256(&public.serialize_uncompressed()[1..]);
        (self.0[64] <= 28).then(|| Address::from_slice(&hash[12..]))
    }

    /// Whether `account` signed `digest`.
    pub fn is_by(&self, account: Address, digest: B256) -> bool {
        self.signer(digest) == Some(account)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let mut bytes = [0; 65];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut bytes)
            .map_err(|_| D::Error::custom("a signature is 130 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        let bytes = hex::decode("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
            .expect("hex");
        Key::from_bytes(bytes.try_into().expect("32 bytes")).expect("a key")
    }

    #[test]
    fn a_key_has_the_account_every_ethereum_tool_gives_it() {
        let expected = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert_eq!(key().address().to_checksum(None), expected);
    }

    #[test]
    fn a_signature_tells_its_signer_and_no_other_digest_does() {
        let digest = keccak256(b"work");
        let signature = key().sign(digest);
        assert!(signature.is_by(key().address(), digest));
        assert!(!signature.is_by(key().address(), keccak256(b"other work")));
    }

    #[test]
    fn the_mirrored_signature_with_high_s_is_refused() {
        let digest = keccak256(b"work");
        let mut mirrored = key().sign(digest);
        let order: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c,
            0xd0, 0x36, 0x41, 0x41,
        ];
        let mut borrow = 0i32;
        for at in (0..32).rev() {
            let value = i32::from(order[at]) - i32::from(mirrored.0[32 + at]) - borrow;
            borrow = i32::from(value < 0);
            mirrored.0[32 + at] = u8::try_from(value.rem_euclid(256)).expect("a byte");
        }
        mirrored.0[64] = 55 - mirrored.0[64];
        assert_eq!(mirrored.signer(digest), None);
    }

    #[test]
    fn zero_is_not_a_key() {
        assert!(Key::from_bytes([0; 32]).is_err());
    }
}
