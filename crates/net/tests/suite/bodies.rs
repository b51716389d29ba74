//! Bodies for tests: long, endless, failing, counted; and waiting for conditions.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    time::{Instant, sleep},
};

/// A byte that depends on its place, so that a lost or doubled chunk shows.
fn pattern(place: u64) -> u8 {
    u8::try_from((place ^ (place >> 8) ^ (place >> 16)) & 0xff).expect("a byte")
}

/// Gives the pattern up to a length, then ends or fails, and counts what it gave.
pub(crate) struct Pattern {
    given: Arc<AtomicU64>,
    length: u64,
    fails: bool,
}

impl Pattern {
    pub(crate) fn of(length: u64) -> Self {
        Self { given: Arc::default(), length, fails: false }
    }

    pub(crate) fn failing_after(length: u64) -> Self {
        Self { fails: true, ..Self::of(length) }
    }

    pub(crate) fn endless() -> Self {
        Self::of(u64::MAX)
    }

    /// How many bytes have been given so far.
    pub(crate) fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.given)
    }
}

impl AsyncRead for Pattern {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let place = self.given.load(Ordering::SeqCst);
        let left = self.length - place;
        if left == 0 && self.fails {
            return Poll::Ready(Err(io::Error::other("the disk under this body broke")));
        }
        let size = u64::try_from(into.remaining()).expect("64 bits").min(left).min(8_192);
        let piece: Vec<u8> = (place..place + size).map(pattern).collect();
        into.put_slice(&piece);
        self.given.fetch_add(size, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

/// Read to the end and check that every byte is the pattern's; how many there were.
pub(crate) async fn check_pattern(
    mut reader: impl AsyncRead + Unpin,
    from: u64,
) -> io::Result<u64> {
    let mut piece = vec![0; 64 << 10];
    let mut place = from;
    loop {
        let size = reader.read(&mut piece).await?;
        if size == 0 {
            return Ok(place);
        }
        for byte in &piece[..size] {
            assert_eq!(*byte, pattern(place), "the byte at {place}");
            place += 1;
        }
    }
}

/// Wait until `condition` holds, at most 20 seconds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Wait until a counter has stood still for 200 milliseconds; its value.
pub(crate) async fn settled(counter: &AtomicU64) -> u64 {
    let (mut last, mut still) = (counter.load(Ordering::SeqCst), 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while still < 20 {
        assert!(Instant::now() < deadline, "the counter never stands still");
        sleep(Duration::from_millis(10)).await;
        let now = counter.load(Ordering::SeqCst);
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    last
}
