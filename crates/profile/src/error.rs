//! What can go wrong in this room: texts that are no constitution.

/// Why a profile or a descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the right shape; the source names field and line.
    #[error("reading profile '{name}'")]
    Profile {
        /// Which one.
        name: String,
        /// What the parser found.
        #[source]
        source: toml::de::Error,
    },
    /// No such preset.
    #[error("there is no preset '{0}'; the presets are: evm, local")]
    NoPreset(String),
    /// Not the right shape.
    #[error("reading the network's descriptor")]
    Descriptor(#[source] serde_json::Error),
    /// Not signed by the gateway it names.
    #[error("the network's descriptor is not signed by gateway {0}, which it names first")]
    NotSigned(primitives::Address),
}
