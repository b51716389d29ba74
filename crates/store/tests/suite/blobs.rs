//! What every store of blobs promises.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use primitives::{Bytes, Digest};
use store::{Blob, Blobs, DiskBlobs, Error, Expect, MemoryBlobs};
use tokio::io::{AsyncReadExt as _, ReadBuf};

const LIMIT: Bytes = Bytes(4 << 20);

async fn put(blobs: &dyn Blobs, content: &[u8], expect: Expect) -> Result<Blob, Error> {
    blobs.put(&mut &content[..], expect).await
}

async fn bytes_come_back_by_their_digest(blobs: Arc<dyn Blobs>) {
    for content in [&b""[..], b"plaza", &vec![7; 1 << 20]] {
        let blob = blobs.put_bytes(content).await.unwrap();
        assert_eq!(blob.digest, Digest::of(content));
        assert_eq!(blob.size, Bytes(content.len() as u64));
        assert_eq!(blobs.size(&blob.digest).await.unwrap(), Some(blob.size));
        assert!(blobs.has(&blob.digest).await.unwrap());
        assert_eq!(blobs.get_bytes(&blob.digest, LIMIT).await.unwrap(), content);
    }
}

async fn the_same_bytes_are_kept_once(blobs: Arc<dyn Blobs>) {
    let content = vec![1; 3 << 20];
    for _ in 0..3 {
        blobs.put_bytes(&content).await.unwrap();
    }
    let puts: Vec<_> = (0..4)
        .map(|_| {
            let blobs = blobs.clone();
            tokio::spawn(async move { blobs.put_bytes(&[2; 100_000]).await.unwrap() })
        })
        .collect();
    for one in puts {
        one.await.unwrap();
    }
    blobs.put_bytes(&[3; 500_000]).await.expect("there is still room");
}

async fn content_of_another_digest_is_refused(blobs: Arc<dyn Blobs>) {
    let promised = Digest::of(b"promised");
    let refused = put(&*blobs, b"delivered", Expect::exactly(promised, LIMIT)).await;
    assert!(matches!(refused, Err(Error::Mismatch { expected, .. }) if expected == promised));
    assert!(!blobs.has(&promised).await.unwrap());
    assert!(!blobs.has(&Digest::of(b"delivered")).await.unwrap());
    put(&*blobs, b"promised", Expect::exactly(promised, LIMIT)).await.unwrap();
}

async fn content_beyond_its_limit_is_refused(blobs: Arc<dyn Blobs>) {
    put(&*blobs, &[0; 1_000], Expect::any(Bytes(1_000))).await.unwrap();
    let refused = put(&*blobs, &[1; 1_001], Expect::any(Bytes(1_000))).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit: Bytes(1_000), .. })));
    assert!(!blobs.has(&Digest::of(&[1; 1_001])).await.unwrap());
}

async fn a_store_never_exceeds_its_own_limit(blobs: Arc<dyn Blobs>) {
    let large = blobs.put_bytes(&[1; 3 << 20]).await.unwrap();
    let refused = blobs.put_bytes(&[2; 2 << 20]).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit: LIMIT, .. })), "{refused:?}");
    assert!(blobs.remove(&large.digest).await.unwrap());
    blobs.put_bytes(&[2; 2 << 20]).await.expect("what was removed makes room");
}

async fn a_reader_that_fails_leaves_nothing(blobs: Arc<dyn Blobs>) {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(io::Error::other("broken")))
        }
    }
    let mut content = (&b"a beginning"[..]).chain(Broken);
    let refused = blobs.put(&mut content, Expect::any(LIMIT)).await;
    assert!(matches!(refused, Err(Error::Content { .. })));
    assert!(!blobs.has(&Digest::of(b"a beginning")).await.unwrap());
}

async fn what_is_not_kept_is_absent(blobs: Arc<dyn Blobs>) {
    let nothing = Digest::of(b"nothing");
    assert_eq!(blobs.size(&nothing).await.unwrap(), None);
    assert!(
        matches!(blobs.get(&nothing).await, Err(Error::Absent { digest }) if digest == nothing)
    );
    assert!(!blobs.remove(&nothing).await.unwrap());
    let something = blobs.put_bytes(b"something").await.unwrap();
    assert!(blobs.remove(&something.digest).await.unwrap());
    assert!(!blobs.has(&something.digest).await.unwrap());
}

macro_rules! over_both {
    ($($behaviour:ident,)*) => {
        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let blobs = store::DiskBlobs::open(folder.path(), super::LIMIT).await.unwrap();
                super::$behaviour(std::sync::Arc::new(blobs)).await;
                assert_eq!(super::unfinished(folder.path()), 0);
            })*
        }

        mod in_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(std::sync::Arc::new(store::MemoryBlobs::new(super::LIMIT))).await;
            })*
        }
    };
}

over_both! {
    bytes_come_back_by_their_digest,
    the_same_bytes_are_kept_once,
    content_of_another_digest_is_refused,
    content_beyond_its_limit_is_refused,
    a_store_never_exceeds_its_own_limit,
    a_reader_that_fails_leaves_nothing,
    what_is_not_kept_is_absent,
}

fn unfinished(root: &Path) -> usize {
    std::fs::read_dir(root.join("incoming")).unwrap().count()
}

#[tokio::test]
async fn a_blob_given_up_half_way_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    let (mut giver, mut content) = tokio::io::duplex(1 << 20);
    tokio::io::AsyncWriteExt::write_all(&mut giver, &[5; 600_000]).await.unwrap();
    let giving_up = std::time::Duration::from_millis(50);
    let put = blobs.put(&mut content, Expect::any(LIMIT));
    assert!(tokio::time::timeout(giving_up, put).await.is_err());
    assert_eq!(unfinished(folder.path()), 0);
    assert_eq!(blobs.used(), Bytes(0));
}

#[tokio::test]
async fn what_another_process_is_writing_is_left_alone_and_what_a_dead_one_left_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let _first = DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    let incoming = folder.path().join("incoming");
    std::fs::write(incoming.join("left-by-the-dead"), b"half").unwrap();
    let living = std::fs::File::create(incoming.join("being-written")).unwrap();
    living.lock().unwrap();
    DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    assert!(incoming.join("being-written").exists());
    assert!(!incoming.join("left-by-the-dead").exists());
}

#[tokio::test]
async fn a_reopened_folder_knows_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    let blob = blobs.put_bytes(&[9; 123_456]).await.unwrap();
    drop(blobs);
    let blobs = DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    assert_eq!(blobs.used(), Bytes(123_456));
    assert!(blobs.has(&blob.digest).await.unwrap());
}

#[tokio::test]
async fn a_damaged_blob_is_an_error_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskBlobs::open(folder.path(), LIMIT).await.unwrap();
    let blob = disk.put_bytes(b"as it was").await.unwrap();
    let name = blob.digest.to_string();
    let file = folder.path().join(&name[..2]).join(&name[2..]);
    std::fs::write(file, b"as it is!").unwrap();
    let read = disk.get_bytes(&blob.digest, LIMIT).await;
    assert!(matches!(read, Err(Error::Content { .. })));

    let memory = MemoryBlobs::new(LIMIT);
    let blob = memory.put_bytes(b"as it was").await.unwrap();
    assert!(memory.damage(&blob.digest));
    let read = memory.get_bytes(&blob.digest, LIMIT).await;
    assert!(matches!(read, Err(Error::Content { .. })));
}

#[tokio::test]
async fn only_the_owner_can_read_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("blobs");
    let blobs = DiskBlobs::open(&root, LIMIT).await.unwrap();
    let name = blobs.put_bytes(b"private").await.unwrap().digest.to_string();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join(&name[..2])), 0o700);
    assert_eq!(mode(&root.join(&name[..2]).join(&name[2..])), 0o600);
}

#[tokio::test]
async fn a_full_disk_on_demand_says_how_much_was_needed() {
    let blobs = MemoryBlobs::new(LIMIT);
    blobs.fail_puts(1);
    let failed = blobs.put_bytes(&[1; 2_048]).await.unwrap_err();
    assert!(failed.to_string().contains("2 KiB"), "{failed}");
    blobs.put_bytes(&[1; 2_048]).await.unwrap();
}
