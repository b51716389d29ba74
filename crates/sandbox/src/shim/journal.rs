//! The chain of samples on disk: one JSON object a line, appended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use primitives::Sample;

use crate::chain::Chain;

/// The samples of one run as they are written.
pub(super) struct Journal {
    file: File,
    chain: Chain,
}

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { file, chain: Chain::default() })
    }

    pub(super) fn append(&mut self, sample: Sample) -> io::Result<()> {
        let (chain, beat) = self.chain.extend(sample);
        let mut line = serde_json::to_vec(&beat)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.chain = chain;
        Ok(())
    }

    pub(super) fn chain(&self) -> Chain {
        self.chain
    }
}
