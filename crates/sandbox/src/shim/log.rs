//! One stream of the program: from its pipe to its log, up to a bound.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    time::Duration,
};

use primitives::{Bytes, format_bytes};
use rustix::{fs::OFlags, io::Errno};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A stream beyond its bound is read no faster than one piece in this time, so that a flood costs
/// the machine nothing.
const PACE: Duration = Duration::from_millis(5);

/// The log of one stream.
pub(super) struct Log {
    source: Option<OwnedFd>,
    file: File,
    kept: u64,
    bound: Bytes,
    dropped: u64,
    next: Duration,
}

impl Log {
    pub(super) fn open(source: OwnedFd, path: &Path, bound: Bytes) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&source, OFlags::NONBLOCK)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { source: Some(source), file, kept: 0, bound, dropped: 0, next: Duration::ZERO })
    }

    /// The pipe, if it is worth waiting for at `now`.
    pub(super) fn source(&self, now: Duration) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().filter(|_| self.next <= now).map(AsFd::as_fd)
    }

    /// When a stream that is held back is worth waiting for again.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        (self.source.is_some() && self.next > now).then_some(self.next)
    }

    /// Bytes that were not kept.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Take what the pipe holds now, one piece; `false` when there is nothing.
    pub(super) fn take(&mut self, now: Duration) -> io::Result<bool> {
        let Some(source) = &self.source else { return Ok(false) };
        let mut piece = [0; PIECE];
        match rustix::io::read(source, &mut piece) {
            Ok(0) => self.source = None,
            Ok(length) => self.keep(&piece[..length], now)?,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Take all that is left; the writers are gone.
    pub(super) fn finish(&mut self, now: Duration) -> io::Result<()> {
        while self.take(now)? {}
        self.source = None;
        Ok(())
    }

    fn keep(&mut self, piece: &[u8], now: Duration) -> io::Result<()> {
        let room = usize::try_from(self.bound.0.saturating_sub(self.kept)).unwrap_or(usize::MAX);
        let kept = &piece[..room.min(piece.len())];
        // A disk that is full must not end the run: what cannot be kept is dropped.
        let kept_now = if self.file.write_all(kept).is_ok() { kept.len() as u64 } else { 0 };
        self.kept += kept_now;
        let lost = piece.len() as u64 - kept_now;
        if lost > 0 {
            if self.dropped == 0 {
                self.mark();
            }
            self.dropped += lost;
            self.next = now + PACE;
        }
        Ok(())
    }

    fn mark(&mut self) {
        let words = format!("\n[plaza: the log ends here at {}]\n", format_bytes(self.bound));
        // Where even this does not fit, the exit record still counts what was dropped.
        let _ = self.file.write_all(words.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn a_flood_is_cut_at_the_bound_with_a_mark_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stdout");
        let (source, end) = pipe().expect("a pipe");
        let mut log = Log::open(source, &path, Bytes(10)).expect("opened");
        rustix::io::write(&end, b"1234567").expect("written");
        assert!(log.take(Duration::ZERO).expect("taken"));
        assert!(!log.take(Duration::ZERO).expect("nothing there"));
        rustix::io::write(&end, b"89abcdef").expect("written");
        log.take(Duration::ZERO).expect("taken");
        assert!(log.source(Duration::ZERO).is_none(), "held back");
        assert_eq!(log.due(Duration::ZERO), Some(PACE));
        rustix::io::write(&end, b"more").expect("written");
        drop(end);
        log.finish(PACE).expect("finished");
        assert_eq!(log.dropped(), 9);
        let text = std::fs::read_to_string(&path).expect("a log");
        assert_eq!(text, "123456789a\n[plaza: the log ends here at 10 B]\n");
    }
}
