//! Measuring, listing and wiping folders that were made to be difficult.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn a_folder_of_empty_files_is_not_free_and_a_sparse_file_counts_its_length() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..10 {
        fs::write(folder.path().join(number.to_string()), b"").expect("written");
    }
    File::create(folder.path().join("sparse")).and_then(|it| it.set_len(1 << 30)).expect("sparse");
    let content = measure(folder.path(), Bytes::gibi(1));
    assert_eq!(content.disk, Bytes(11 * ENTRY));
    assert_eq!(content.length, Bytes::gibi(1));
    assert!(!content.beyond);
    assert!(measure(folder.path(), Bytes(5 * ENTRY)).beyond);
}

#[test]
fn links_are_neither_followed_nor_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), b"canary").expect("written");
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("deep")).expect("made");
    fs::write(out.join("deep/result"), b"42").expect("written");
    symlink(outside.path().join("secret"), out.join("secret")).expect("linked");
    symlink(outside.path(), out.join("folder")).expect("linked");
    let found = outputs(&out).expect("listed");
    let paths: Vec<&str> = found.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["deep/result"]);
    for path in ["secret", "folder/secret", "../out/deep/result", "/etc/passwd", "deep"] {
        assert!(open_output(&out, path).is_err(), "{path} must not open");
    }
    assert!(open_output(&out, "deep/result").is_ok());
    fs::remove_dir_all(&out).expect("removed");
    symlink(outside.path(), &out).expect("linked");
    assert_eq!(outputs(&out).expect("listed"), []);
    assert!(open_output(&out, "secret").is_err());
    wipe(folder.path()).expect("wiped");
    assert!(outside.path().join("secret").exists());
}

#[test]
fn a_wipe_gets_through_any_depth_and_any_mode() {
    let folder = tempfile::tempdir().expect("a folder");
    let top = folder.path().join("run");
    fs::create_dir(&top).expect("made");
    let mut at = openat(CWD, &top, FOLDER, Mode::empty()).expect("opened");
    for _ in 0..2_000 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("made");
        at = openat(&at, "d", FOLDER, Mode::empty()).expect("opened");
    }
    fs::create_dir_all(top.join("closed/inner")).expect("made");
    fs::write(top.join("closed/inner/file"), b"12345").expect("written");
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o000)).expect("closed");
    fs::create_dir(top.join(".wipe-1")).expect("made");
    let wiped = wipe(&top).expect("wiped");
    assert_eq!((wiped.files, wiped.folders, wiped.bytes), (1, 2_004, Bytes(5)));
    assert!(!top.exists());
    assert_eq!(wipe(&top).expect("wiped"), Wiped::default());
}
