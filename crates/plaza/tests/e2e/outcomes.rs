//! How jobs end, and what `plaza run` exits with.

use crate::house::{House, text, units};

#[test]
fn the_exit_status_is_the_jobs_own() {
    let Some(house) = House::up() else { return };
    let (came, bill) = house.run(&[], &["sh", "-c", "echo before; exit 7"]);
    assert_eq!(came.code(), 7, "{came:?}");
    assert_eq!((&bill["outcome"], &bill["exit_code"]), (&"failed".into(), &7.into()));
    assert!(came.stdout.starts_with("before\n"), "{came:?}");
    assert!(units(&bill["charge"]) > 0, "the job's own fault is paid for: {bill}");
}

#[test]
fn a_program_that_is_not_there_is_127_and_costs_nothing() {
    let Some(house) = House::up() else { return };
    let (came, bill) = house.run(&[], &["no-such-program"]);
    assert_eq!(came.code(), 127, "{came:?}");
    assert!(came.stderr.contains("no-such-program"), "{came:?}");
    assert_eq!(units(&bill["charge"]), 0, "{bill}");
    assert_eq!(units(&bill["refund"]), units(&bill["escrow"]), "{bill}");
}

#[test]
fn a_program_that_cannot_be_executed_is_126() {
    let Some(house) = House::up() else { return };
    let input = house.file("notes.txt", "no program\n");
    let (came, bill) = house.run(&["--input", text(&input)], &["./notes.txt"]);
    assert_eq!(came.code(), 126, "{came:?}");
    assert_eq!(units(&bill["charge"]), 0, "{bill}");
}

#[test]
fn a_job_beyond_its_time_limit_is_124_and_keeps_what_it_printed() {
    let Some(house) = House::up() else { return };
    let (came, bill) = house.run(&["--timeout", "6s"], &["sh", "-c", "echo begun; sleep 600"]);
    assert_eq!(came.code(), 124, "{came:?}");
    assert!(came.stdout.starts_with("begun\n"), "{came:?}");
    assert_eq!(bill["outcome"], "failed", "{bill}");
    let seconds = bill["seconds"].as_u64().expect("a number");
    assert!((6..=7).contains(&seconds), "{bill}");
}

#[test]
fn a_module_of_this_machine_is_sent_along_and_executed() {
    let Some(house) = House::up() else { return };
    let hello = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
            (call $exit (i32.const 3))))"#;
    let endless = r#"(module (func (export "_start") (loop $on (br $on))))"#;
    let place = |name: &str, bytes: &[u8]| {
        let path = house.path(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    };
    let module = |name: &str, text| place(name, &wat::parse_str(text).expect("a module"));
    let hello = module("hello.wasm", hello);
    let (came, bill) = house.run(&["--wasm"], &[text(&hello)]);
    assert_eq!(came.code(), 3, "{came:?}");
    assert!(came.stdout.starts_with("hello\n"), "{came:?}");
    assert!(units(&bill["charge"]) > 0, "{bill}");
    let endless = module("endless.wasm", endless);
    let flags = ["--wasm", "--deterministic", "--fuel", "1000000", "--input", text(&endless)];
    let (came, _) = house.run(&flags, &["endless.wasm"]);
    assert_eq!(came.code(), 124, "{came:?}");
    assert!(came.stderr.contains("out-of-fuel"), "{came:?}");
    let garbage = place("garbage.wasm", b"no module");
    let (came, bill) = house.run(&["--wasm"], &[text(&garbage)]);
    assert_eq!(came.code(), 126, "{came:?}");
    assert_eq!(units(&bill["charge"]), 0, "{bill}");
}

#[test]
fn output_beyond_its_limit_ends_the_job_and_says_so() {
    let Some(house) = House::up() else { return };
    let write = "head -c 1000000 /dev/zero > out/large; sleep 600";
    let (came, bill) = house.run(&["--output-limit", "10K"], &["sh", "-c", write]);
    assert!(![0, 125].contains(&came.code()), "{came:?}");
    assert!(came.stderr.contains("output-limit"), "{came:?}");
    assert_eq!(bill["outcome"], "failed", "{bill}");
}

#[test]
fn a_job_sees_its_inputs_and_nothing_of_its_hosts_secrets() {
    let Some(house) = House::up() else { return };
    let secret = house.data().join("token");
    let folder = house.path("tree");
    std::fs::create_dir_all(folder.join("deep")).expect("folders can be made");
    std::fs::write(folder.join("deep/leaf"), "leaf").expect("a file can be written");
    let script = format!(
        "cat tree/deep/leaf; for it in {} /root /home /var /etc/shadow /proc/1/environ; \
         do head -c 1 $it >/dev/null 2>&1 || ls $it/ >/dev/null 2>&1 && echo seen $it; done; \
         touch /usr/mine 2>/dev/null && echo written; true",
        text(&secret)
    );
    let (came, _) = house.run(&["--input", text(&folder)], &["sh", "-c", &script]);
    assert_eq!(came.code(), 0, "{came:?}");
    assert!(came.stdout.starts_with("leaf"), "{came:?}");
    assert!(!came.stdout.contains("written"), "{came:?}");
    assert!(!came.stdout.contains(&format!("seen {}", text(&secret))), "{came:?}");
    for place in ["/root", "/home", "/etc/shadow"] {
        assert!(!came.stdout.contains(&format!("seen {place}")), "{came:?}");
    }
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let Some(house) = House::up() else { return };
    let (came, _) = house.run(&["--input", "missing.csv"], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("missing.csv"), "{came:?}");
}

#[test]
fn an_input_behind_a_link_appears_under_the_link_s_name() {
    let Some(house) = House::up() else { return };
    let scratch = tempfile::tempdir().expect("a folder for scratch");
    let link = scratch.path().join("words.txt");
    std::fs::write(scratch.path().join("real.txt"), "one\n").expect("a file");
    std::os::unix::fs::symlink("real.txt", &link).expect("a link");
    let link = link.to_str().expect("a path in UTF-8");
    let (came, _) = house.run(&["--input", link], &["cat", "words.txt"]);
    assert_eq!((came.code(), came.stdout.lines().next()), (0, Some("one")), "{came:?}");
}

#[test]
fn wrong_usage_of_run_is_125_and_of_anything_else_2() {
    let Some(house) = House::new() else { return };
    assert_eq!(house.plaza(["run", "--cpus", "none", "--", "true"]).code(), 125);
    assert_eq!(house.plaza(["run"]).code(), 125);
    assert_eq!(house.plaza(["job", "fly"]).code(), 2);
    assert_eq!(house.plaza(["run", "--help"]).code(), 0);
}

/// A small disk under a folder, taken away with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None`, with the reason printed, where there are no rights to mount one.
    #[expect(clippy::print_stdout, reason = "a test that passes over says why")]
    fn under(folder: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        let words = ["-t", "tmpfs", "-o", "size=4m", "plaza-test"];
        let mounted = std::process::Command::new("mount").args(words).arg(folder).output();
        match mounted {
            Ok(mounted) if mounted.status.success() => Some(Self(folder.to_owned())),
            Ok(mounted) => {
                println!("passed over: mount: {}", String::from_utf8_lossy(&mounted.stderr));
                None
            }
            Err(error) => {
                println!("passed over: there is no mount command: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the network may still hold a file there for an instant.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_at_the_gateway_refuses_inputs_in_clear_words_and_nothing_is_ordered() {
    let Some(house) = House::new() else { return };
    let Some(_disk) = SmallDisk::under(&house.data().join("gateway/blobs")) else { return };
    let large = house.path("large");
    let noise: Vec<u8> =
        (0..8u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761)).to_le_bytes()[3]).collect();
    std::fs::write(&large, noise).expect("a file can be written");
    let (came, bill) = house.run(&["--input", text(&large)], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("room"), "{came:?}");
    assert!(bill["job"].is_null(), "{bill}");

    let small = house.file("small", "fits\n");
    let (came, _) = house.run(&["--input", text(&small)], &["cat", "small"]);
    assert_eq!(came.code(), 0, "{came:?}");
}
