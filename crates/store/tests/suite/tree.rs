//! Folders to trees and back, and everything that must be refused on the way.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
};

use primitives::{Bytes, Digest};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use store::{
    Blobs, Error, Existing, MemoryBlobs, Source, Tree, TreeEntry, TreeKind, TreeLimits, TreePath,
    load_tree, pack, store_tree, unpack,
};

const LIMITS: TreeLimits = TreeLimits { entries: 10_000, size: Bytes(1 << 20) };

fn blobs() -> MemoryBlobs {
    MemoryBlobs::new(Bytes(1 << 30))
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn folder(text: &str) -> TreeEntry {
    TreeEntry { path: path(text), kind: TreeKind::Folder }
}

fn link(text: &str, target: &str) -> TreeEntry {
    TreeEntry { path: path(text), kind: TreeKind::Link { target: target.to_owned() } }
}

fn file(text: &str, content: &[u8]) -> TreeEntry {
    let (digest, size) = (Digest::of(content), Bytes(content.len() as u64));
    TreeEntry { path: path(text), kind: TreeKind::File { digest, size, executable: false } }
}

async fn pack_contents(of: &Path, blobs: &MemoryBlobs) -> Result<Tree, Error> {
    pack(&[Source::contents(of)], blobs, &LIMITS).await
}

/// Why packing a folder with this in it is refused.
async fn refusal(make: impl FnOnce(&Path)) -> String {
    let source = tempfile::tempdir().unwrap();
    make(source.path());
    pack_contents(source.path(), &blobs()).await.expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn a_folder_comes_back_as_it_was() {
    let (source, target, blobs) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), blobs());
    let from = source.path();
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir(from.join("empty")).unwrap();
    fs::write(from.join("a/b/data"), b"12345").unwrap();
    fs::write(from.join("a-b"), b"").unwrap();
    fs::write(from.join("run.sh"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(from.join("run.sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("a/b/data", from.join("shortcut")).unwrap();
    symlink("../../run.sh", from.join("a/b/up")).unwrap();
    symlink("nowhere", from.join("dangling")).unwrap();

    let tree = pack_contents(from, &blobs).await.unwrap();
    let names: Vec<_> = tree.entries().iter().map(|entry| entry.path.as_str()).collect();
    let expected =
        ["a", "a-b", "a/b", "a/b/data", "a/b/up", "dangling", "empty", "run.sh", "shortcut"];
    assert_eq!(names, expected);
    assert_eq!(tree.size(), Bytes(15));

    let name = store_tree(&tree, &blobs).await.unwrap();
    assert_eq!(name, tree.digest());
    let loaded = load_tree(&name, &blobs, &LIMITS).await.unwrap();
    assert_eq!(loaded, tree);

    let to = target.path().join("new/place");
    unpack(&loaded, &to, &blobs, Existing::Refuse).await.unwrap();
    assert_eq!(fs::read(to.join("shortcut")).unwrap(), b"12345");
    assert_eq!(fs::read(to.join("a/b/up")).unwrap(), b"#!/bin/sh\n");
    assert!(to.join("empty").is_dir());
    let mode = |name: &str| to.join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run.sh"), mode("a/b/data"), mode("a")), (0o700, 0o600, 0o700));
    assert_eq!(pack_contents(&to, &blobs).await.unwrap(), tree);
}

#[tokio::test]
async fn files_and_folders_appear_under_their_own_names() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("folder")).unwrap();
    fs::write(source.path().join("folder/inner"), b"1").unwrap();
    fs::write(source.path().join("file"), b"2").unwrap();
    let named = |name: &str| Source::named(source.path().join(name)).unwrap();
    let tree = pack(&[named("file"), named("folder")], &blobs(), &LIMITS).await.unwrap();
    let names: Vec<_> = tree.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names, ["file", "folder", "folder/inner"]);
    let twice = pack(&[named("file"), named("file")], &blobs(), &LIMITS).await;
    assert!(twice.unwrap_err().to_string().contains("\"file\""));
    assert!(Source::named("..").is_err());
    assert!(Source::named(Path::new(OsStr::from_bytes(b"\xff"))).is_err());
}

#[tokio::test]
async fn a_source_that_is_missing_or_a_link_is_refused_by_name() {
    let source = tempfile::tempdir().unwrap();
    symlink("/etc", source.path().join("etc")).unwrap();
    for name in ["missing", "etc"] {
        let from = source.path().join(name);
        let error = pack_contents(&from, &blobs()).await.unwrap_err().to_string();
        assert!(error.contains(from.to_str().unwrap()), "{error}");
    }
    let named = [Source::named(source.path().join("etc")).unwrap()];
    let error = pack(&named, &blobs(), &LIMITS).await.unwrap_err().to_string();
    assert!(error.contains("absolute"), "{error}");
}

#[tokio::test]
async fn what_cannot_travel_is_refused_by_name() {
    let socket = refusal(|at| drop(UnixListener::bind(at.join("sock")).unwrap())).await;
    assert!(socket.contains("sock\": it is a socket"), "{socket}");
    let pipe = refusal(|at| {
        let made = std::process::Command::new("mkfifo").arg(at.join("pipe")).status().unwrap();
        assert!(made.success());
    });
    let pipe = pipe.await;
    assert!(pipe.contains("pipe\": it is a socket, a pipe"), "{pipe}");
    let odd = refusal(|at| fs::write(at.join(OsStr::from_bytes(b"od\xffd")), b"").unwrap()).await;
    assert!(odd.contains("not UTF-8"), "{odd}");
    for target in ["/etc/passwd", "..", "../x", "a/../b", "a/../../b", "./../x"] {
        let why = refusal(|at| symlink(target, at.join("link")).unwrap()).await;
        assert!(why.contains("link") && why.contains(target), "{why}");
    }
    let deep = refusal(|at| fs::create_dir_all(at.join(vec!["d"; 65].join("/"))).unwrap()).await;
    assert!(deep.contains("deeper"), "{deep}");
}

#[tokio::test]
async fn limits_are_kept_before_anything_beyond_them_is_stored() {
    let (source, blobs) = (tempfile::tempdir().unwrap(), blobs());
    fs::write(source.path().join("a"), [1; 600]).unwrap();
    fs::write(source.path().join("b"), [2; 600]).unwrap();
    let from = [Source::contents(source.path())];
    let limits = |entries, size| TreeLimits { entries, size: Bytes(size) };
    assert!(pack(&from, &blobs, &limits(2, 1_200)).await.is_ok());
    let error = pack(&from, &blobs, &limits(2, 1_199)).await.unwrap_err();
    assert!(matches!(&error, Error::TooLarge { what, .. } if what.contains("/b ")), "{error}");
    let fresh = MemoryBlobs::new(Bytes(1 << 20));
    assert!(pack(&from, &fresh, &limits(2, 599)).await.is_err());
    assert!(!fresh.has(&Digest::of(&[1; 600])).await.unwrap());
    let error = pack(&from, &blobs, &limits(1, 1_200)).await.unwrap_err();
    assert!(error.to_string().contains("more files and folders"), "{error}");
}

#[tokio::test]
async fn a_full_store_fails_the_packing() {
    let (source, blobs) = (tempfile::tempdir().unwrap(), MemoryBlobs::new(Bytes(100)));
    fs::write(source.path().join("a"), [1; 600]).unwrap();
    let error = pack_contents(source.path(), &blobs).await.unwrap_err();
    assert!(matches!(error, Error::LimitReached { .. }));
}

/// Manifests that no honest packer writes.
#[test]
fn hostile_manifests_are_refused() {
    let file = |path: &str| {
        let digest = Digest::of(b"");
        format!(
            r#"{{"path":"{path}","kind":"file","digest":"{digest}","size":0,"executable":false}}"#
        )
    };
    let folder = |path: &str| format!(r#"{{"path":"{path}","kind":"folder"}}"#);
    let link =
        |path: &str, to: &str| format!(r#"{{"path":"{path}","kind":"link","target":"{to}"}}"#);
    let huge = format!(
        r#"{{"path":"x","kind":"file","digest":"{}","size":18446744073709551615,"executable":false}}"#,
        Digest::of(b"")
    );
    let corpus: Vec<(&str, Vec<String>)> = vec![
        ("absolute path", vec![file("/etc/passwd")]),
        ("path upwards", vec![file("../x")]),
        ("path upwards inside", vec![folder("a"), file("a/../../x")]),
        ("path upwards at the end", vec![folder("a"), folder("a/..")]),
        ("dot", vec![file(".")]),
        ("dot inside", vec![folder("a"), file("a/./b")]),
        ("empty path", vec![file("")]),
        ("empty name", vec![folder("a"), file("a//b")]),
        ("slash at the end", vec![folder("a/")]),
        ("zero byte", vec![file("a\\u0000b")]),
        ("name too long", vec![file(&"x".repeat(256))]),
        ("path too deep", vec![file(&vec!["d"; 65].join("/"))]),
        ("twice", vec![file("a"), file("a")]),
        ("file and folder of one name", vec![file("a"), folder("a")]),
        ("out of order", vec![file("b"), file("a")]),
        ("below a file", vec![file("a"), file("a/b")]),
        ("below a link", vec![link("a", "b"), file("a/x"), folder("b")]),
        ("below a link upwards", vec![folder("d"), link("d/l", ".."), file("d/l/x")]),
        ("folder not listed", vec![file("a/b")]),
        ("absolute link", vec![link("a", "/etc")]),
        ("link outside", vec![link("a", "..")]),
        ("link outside from below", vec![folder("d"), link("d/l", "../..")]),
        ("link outside after a name", vec![folder("d"), link("l", "d/../..")]),
        ("link through a link outside", vec![link("x", "."), link("y", "x/..")]),
        ("link with doubled slashes outside", vec![folder("d"), link("d/l", ".././/..")]),
        ("empty link", vec![link("a", "")]),
        ("link with zero byte", vec![link("a", "b\\u0000c")]),
        ("size beyond the limit", vec![huge.clone()]),
        ("sizes that overflow", vec![huge.clone(), huge.replace("\"x\"", "\"y\"")]),
        ("unknown kind", vec![r#"{"path":"a","kind":"device"}"#.to_owned()]),
        ("no kind", vec![r#"{"path":"a"}"#.to_owned()]),
        ("spaces", vec![r#"{"path": "a","kind":"folder"}"#.to_owned()]),
        ("surplus field", vec![r#"{"path":"a","kind":"folder","mode":4095}"#.to_owned()]),
        ("field twice", vec![r#"{"path":"a","path":"b","kind":"folder"}"#.to_owned()]),
        ("path with escapes", vec![r#"{"path":"\u0061","kind":"folder"}"#.to_owned()]),
    ];
    for (what, entries) in corpus {
        let manifest = format!(r#"{{"version":1,"entries":[{}]}}"#, entries.join(","));
        let read = Tree::from_manifest(manifest.as_bytes(), &LIMITS);
        assert!(read.is_err(), "{what} must be refused: {manifest}");
    }
    for whole in ["", "null", "[]", "{}", r#"{"version":2,"entries":[]}"#] {
        assert!(Tree::from_manifest(whole.as_bytes(), &LIMITS).is_err(), "{whole:?}");
    }
    let fine = format!(
        r#"{{"version":1,"entries":[{},{},{}]}}"#,
        file("a"),
        folder("b"),
        link("b/c", "../a")
    );
    Tree::from_manifest(fine.as_bytes(), &LIMITS).expect("the corpus is refused for its faults");
}

#[test]
fn a_tree_beyond_its_limits_is_refused() {
    let entries: Vec<_> = (0..5).map(|number| file(&number.to_string(), b"12345")).collect();
    let limits = |entries, size| TreeLimits { entries, size: Bytes(size) };
    assert!(Tree::new(entries.clone(), &limits(5, 25)).is_ok());
    assert!(Tree::new(entries.clone(), &limits(4, 25)).is_err());
    assert!(Tree::new(entries, &limits(5, 24)).is_err());
}

/// A target with something hostile in it, and a place outside that must stay as it is.
struct Trap {
    _folder: tempfile::TempDir,
    target: std::path::PathBuf,
    outside: std::path::PathBuf,
}

impl Trap {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (target, outside) = (folder.path().join("target"), folder.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), b"precious").unwrap();
        Self { _folder: folder, target, outside }
    }

    fn assert_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read(self.outside.join("precious")).unwrap(), b"precious");
    }
}

#[tokio::test]
async fn links_that_are_already_there_lead_nothing_outside() {
    let blobs = blobs();
    blobs.put_bytes(b"new").await.unwrap();
    let tree = |entries| Tree::new(entries, &LIMITS).unwrap();
    let through_folder = tree(vec![folder("d"), file("d/precious", b"new")]);
    let deep = tree(vec![folder("a"), folder("a/d"), folder("a/d/e"), file("a/d/e/f", b"new")]);
    let through_file = tree(vec![file("f", b"new")]);
    let over_link = tree(vec![link("f", "d/x"), folder("d")]);
    for existing in [Existing::Refuse, Existing::Replace] {
        let trap = Trap::set();
        symlink(&trap.outside, trap.target.join("d")).unwrap();
        let error = unpack(&through_folder, &trap.target, &blobs, existing).await.unwrap_err();
        assert!(error.to_string().contains("\"d\""), "{error}");
        trap.assert_untouched();

        let trap = Trap::set();
        fs::create_dir(trap.target.join("a")).unwrap();
        symlink("../../outside", trap.target.join("a/d")).unwrap();
        unpack(&deep, &trap.target, &blobs, existing).await.unwrap_err();
        trap.assert_untouched();

        let trap = Trap::set();
        symlink(trap.outside.join("precious"), trap.target.join("f")).unwrap();
        let unpacked = unpack(&through_file, &trap.target, &blobs, existing).await;
        trap.assert_untouched();
        match existing {
            Existing::Refuse => assert!(unpacked.is_err()),
            Existing::Replace => {
                unpacked.unwrap();
                assert!(!trap.target.join("f").is_symlink());
                assert_eq!(fs::read(trap.target.join("f")).unwrap(), b"new");
            }
        }

        let trap = Trap::set();
        symlink(trap.outside.join("made"), trap.target.join("f")).unwrap();
        let unpacked = unpack(&over_link, &trap.target, &blobs, existing).await;
        trap.assert_untouched();
        assert_eq!(unpacked.is_ok(), existing == Existing::Replace);
    }
}

#[tokio::test]
async fn a_target_that_is_a_link_is_not_followed() {
    let (trap, blobs) = (Trap::set(), blobs());
    blobs.put_bytes(b"new").await.unwrap();
    let door = trap.target.join("door");
    symlink(&trap.outside, &door).unwrap();
    let tree = Tree::new(vec![file("f", b"new")], &LIMITS).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        unpack(&tree, &door, &blobs, existing).await.unwrap_err();
        trap.assert_untouched();
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_replaced_only_when_allowed_and_never_a_folder() {
    let (target, blobs) = (tempfile::tempdir().unwrap(), blobs());
    blobs.put_bytes(b"new").await.unwrap();
    let tree = Tree::new(vec![folder("d"), file("d/f", b"new")], &LIMITS).unwrap();
    fs::create_dir(target.path().join("d")).unwrap();
    fs::write(target.path().join("d/f"), b"old").unwrap();
    let refused = unpack(&tree, target.path(), &blobs, Existing::Refuse).await.unwrap_err();
    assert!(refused.to_string().contains("\"d/f\""), "{refused}");
    assert_eq!(fs::read(target.path().join("d/f")).unwrap(), b"old");
    unpack(&tree, target.path(), &blobs, Existing::Replace).await.unwrap();
    assert_eq!(fs::read(target.path().join("d/f")).unwrap(), b"new");

    let over_folder = Tree::new(vec![file("d", b"new")], &LIMITS).unwrap();
    unpack(&over_folder, target.path(), &blobs, Existing::Replace).await.unwrap_err();
    let over_file =
        Tree::new(vec![folder("d"), folder("d/f"), file("d/f/g", b"new")], &LIMITS).unwrap();
    unpack(&over_file, target.path(), &blobs, Existing::Replace).await.unwrap_err();
    assert_eq!(fs::read(target.path().join("d/f")).unwrap(), b"new");
}

#[tokio::test]
async fn a_missing_or_lying_blob_is_refused() {
    let (target, blobs) = (tempfile::tempdir().unwrap(), blobs());
    let missing = Tree::new(vec![file("f", b"missing")], &LIMITS).unwrap();
    let error = unpack(&missing, target.path(), &blobs, Existing::Replace).await.unwrap_err();
    assert!(matches!(error, Error::Absent { .. }));
    let blob = blobs.put_bytes(b"seven b").await.unwrap();
    for size in [6, 8] {
        let kind = TreeKind::File { digest: blob.digest, size: Bytes(size), executable: false };
        let lying = Tree::new(vec![TreeEntry { path: path("f"), kind }], &LIMITS).unwrap();
        let error = unpack(&lying, target.path(), &blobs, Existing::Replace).await.unwrap_err();
        assert!(error.to_string().contains("\"f\""), "{error}");
    }
    blobs.damage(&blob.digest);
    let damaged = Tree::new(vec![file("f", b"seven b")], &LIMITS).unwrap();
    unpack(&damaged, target.path(), &blobs, Existing::Replace).await.unwrap_err();
}

/// A folder as a test describes it: paths of files with their bytes, and whether they run.
fn folders() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    let name = prop_oneof!["[a-c]", "[a-c]-", "[ -.0-~]{1,8}", "\\PC{1,4}"]
        .prop_filter("a name", |name| {
            !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
        });
    let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let content = (proptest::collection::vec(any::<u8>(), 0..50), any::<bool>());
    proptest::collection::btree_map(path, content, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_folder_comes_back_as_it_was(files in folders()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (source, target, blobs) =
                (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), blobs());
            let mut made = BTreeMap::new();
            for (name, (content, executable)) in files {
                let at = source.path().join(&name);
                // A path below a file, or a file in a folder's place, cannot be made: left out.
                let mode = if executable { 0o755 } else { 0o644 };
                if fs::create_dir_all(at.parent().unwrap()).is_ok() && fs::write(&at, &content).is_ok() {
                    fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
                    made.insert(name, content);
                }
            }
            let tree = pack_contents(source.path(), &blobs).await.unwrap();
            let read = Tree::from_manifest(&tree.manifest(), &LIMITS).unwrap();
            unpack(&read, target.path(), &blobs, Existing::Refuse).await.unwrap();
            for (name, content) in &made {
                prop_assert_eq!(&fs::read(target.path().join(name)).unwrap(), content);
            }
            let again = pack_contents(target.path(), &blobs).await.unwrap();
            prop_assert_eq!(again.digest(), tree.digest());
            Ok(())
        })?;
    }

    #[test]
    fn no_link_of_any_tree_leads_outside(links in proptest::collection::btree_map(
        "[ab](/[ab]){0,2}", "(\\.\\./|\\./|a/|b/){0,4}(a|b|\\.|\\.\\.)", 1..6))
    {
        let mut entries: BTreeMap<String, TreeEntry> = BTreeMap::new();
        for (at, target) in &links {
            for (place, _) in at.match_indices('/') {
                entries.entry(at[..place].to_owned()).or_insert_with(|| folder(&at[..place]));
            }
            entries.entry(at.clone()).or_insert_with(|| link(at, target));
        }
        if let Ok(tree) = Tree::new(entries.into_values().collect(), &LIMITS) {
            let target = tempfile::tempdir().unwrap();
            let inside = target.path().canonicalize().unwrap().join("inside");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(unpack(&tree, &inside, &blobs(), Existing::Refuse)).unwrap();
            for entry in tree.entries() {
                if let Ok(real) = inside.join(entry.path.as_str()).canonicalize() {
                    assert!(real.starts_with(&inside), "{} leads to {}", entry.path, real.display());
                }
            }
        }
    }
}
