//! What a job may try in order to get out, and that it does not.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
};

use sandbox::{Folder, Spec};

use crate::bench::{Bench, shell};

/// Set for the copy of this program that runs inside; its value is a port on the host's loopback.
const INSIDE: &str = "PLAZA_TEST_INSIDE";

/// Nothing of the host but system folders can be seen, by whatever road.
#[tokio::test]
async fn the_host_s_secrets_cannot_be_read() {
    let bench = Bench::new();
    let canary = bench.scratch.path().join("canary");
    fs::write(&canary, "canary-7391").expect("written");
    bench.place("name", "x");
    let work = Folder::new(bench.folder()).work();
    symlink(&canary, work.join("link")).expect("linked");
    symlink("../../canary", work.join("climb")).expect("linked");
    symlink(bench.scratch.path(), work.join("folder")).expect("linked");
    let data = bench.scratch.path().display().to_string();
    let run = bench.folder().display().to_string();
    let roads = [
        canary.display().to_string(),
        "link".to_owned(),
        "climb".to_owned(),
        "folder/canary".to_owned(),
        "../canary".to_owned(),
        "/work/../../../../canary".to_owned(),
        format!("/proc/self/root{data}/canary"),
        format!("/proc/self/cwd/../{data}/canary"),
        format!("/proc/1/root{data}/canary"),
        "/proc/1/cwd/canary".to_owned(),
        "/proc/1/cmdline".to_owned(),
        "/proc/1/environ".to_owned(),
        "/proc/1/mem".to_owned(),
        "/proc/1/maps".to_owned(),
        format!("{run}/spec.json"),
        format!("{run}/samples"),
        "/etc/shadow".to_owned(),
        "/etc/gshadow".to_owned(),
        "/etc/machine-id".to_owned(),
        "/etc/ssh/ssh_config".to_owned(),
        "/proc/kcore".to_owned(),
        "/proc/cmdline".to_owned(),
        "/proc/keys".to_owned(),
        "/sys/class/net/eth0/address".to_owned(),
    ];
    for road in &roads {
        let done = bench.run_again(&shell(&format!("tr -d '\\000' <'{road}'"))).await;
        assert_eq!(done.stdout, "", "{road} was read: {done:?}");
    }
    let closed = "for d in /root /home /var /run /boot /srv /mnt /media /opt /sys; do \
                  [ -e $d ] && echo $d; done; ls -A /proc/1/fd 2>/dev/null; cat /etc/passwd | wc -l";
    let done = bench.run_again(&shell(closed)).await;
    assert_eq!(done.stdout.trim(), "3", "{done:?}");
    assert!(!done.stdout.contains("canary"));
}

#[tokio::test]
async fn nothing_of_the_host_can_be_written() {
    let bench = Bench::new();
    for place in [
        "/usr/x",
        "/bin/x",
        "/etc/x",
        "/etc/passwd",
        "/x",
        "/dev/x",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/usr/bin/env",
    ] {
        let done = bench.run(&shell(&format!("echo x >{place}"))).await;
        assert_ne!(done.exit.exit_code, Some(0), "{place} was written: {done:?}");
    }
    let done = bench.run(&shell("echo a >/tmp/a && echo b >/dev/shm/b && echo c >c && echo d >out/d && echo >/dev/null && cat /tmp/a /dev/shm/b c out/d; head -c 4 /dev/zero | wc -c; touch /dev/full && echo x >/dev/full")).await;
    assert!(done.stdout.starts_with("a\nb\nc\nd\n4\n"), "{done:?}");
    assert_ne!(done.exit.exit_code, Some(0));
}

#[tokio::test]
async fn no_call_leads_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let bench = Bench::new();
    let me = std::env::current_exe().expect("this program");
    bench.place("probe", fs::read(me).expect("read"));
    let probe = Folder::new(bench.folder()).work().join("probe");
    fs::set_permissions(&probe, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let mut spec =
        Spec::host("./probe", ["--exact", "escapes::inside", "--nocapture", "--test-threads=1"]);
    spec.environment.insert(INSIDE.to_owned(), port.to_string());
    spec.limits.processes = 40;
    let done = bench.run(&spec).await;
    let answers: BTreeMap<&str, &str> = done
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("tried ")?.split_once(": "))
        .collect();
    assert!(answers.len() > 30, "{done:?}");
    let through: Vec<_> = answers
        .iter()
        .filter(|(name, answer)| !name.starts_with("may ") && answer.starts_with("ok"))
        .collect();
    assert!(through.is_empty(), "these led out: {through:?}");
    let barred: Vec<_> = answers
        .iter()
        .filter(|(name, answer)| name.starts_with("may ") && !answer.starts_with("ok"))
        .collect();
    assert!(barred.is_empty(), "these must work: {barred:?}");
    listener.set_nonblocking(true).expect("set");
    assert!(listener.accept().is_err(), "somebody came through");
}

/// Runs inside, as the job; outside it does nothing.
#[test]
fn inside() {
    let Ok(port) = std::env::var(INSIDE) else { return };
    let port: u16 = port.parse().expect("a port");
    for (name, answer) in forbidden_calls().into_iter().chain(other_roads(port)).chain(allowed()) {
        match answer {
            Ok(()) => println!("\ntried {name}: ok"),
            Err(error) => println!("\ntried {name}: {error}"),
        }
    }
}

type Tried = Vec<(&'static str, io::Result<()>)>;

fn call(number: libc::c_long, arguments: [libc::c_long; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every call here either takes no pointers, takes null, or takes text that lives for ever.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn forbidden_calls() -> Tried {
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as libc::c_long;
    let spaces = libc::c_long::from(libc::CLONE_NEWUSER | libc::CLONE_NEWNS);
    let device = libc::makedev(1, 1).cast_signed();
    let mode = libc::c_long::from(libc::S_IFCHR | 0o666);
    let here = libc::c_long::from(libc::AT_FDCWD);
    vec![
        ("mount", call(libc::SYS_mount, [text(c"none"), text(c"/tmp"), text(c"tmpfs"), 0, 0, 0])),
        ("umount", call(libc::SYS_umount2, [text(c"/work"), 2, 0, 0, 0, 0])),
        ("open_tree", call(libc::SYS_open_tree, [here, text(c"/usr"), 1, 0, 0, 0])),
        ("fsopen", call(libc::SYS_fsopen, [text(c"proc"), 0, 0, 0, 0, 0])),
        ("pivot_root", call(libc::SYS_pivot_root, [text(c"/tmp"), text(c"/tmp"), 0, 0, 0, 0])),
        ("chroot", call(libc::SYS_chroot, [text(c"/tmp"), 0, 0, 0, 0, 0])),
        ("unshare", call(libc::SYS_unshare, [spaces, 0, 0, 0, 0, 0])),
        ("clone into a new user space", call(libc::SYS_clone, [spaces | 17, 0, 0, 0, 0, 0])),
        ("clone3", call(libc::SYS_clone3, [0, 0, 0, 0, 0, 0])),
        ("setns", call(libc::SYS_setns, [0, 0, 0, 0, 0, 0])),
        ("mknod of a device", call(libc::SYS_mknodat, [here, text(c"mem"), mode, device, 0, 0])),
        ("ptrace", call(libc::SYS_ptrace, [16, 1, 0, 0, 0, 0])),
        ("process_vm_readv", call(libc::SYS_process_vm_readv, [1, 0, 0, 0, 0, 0])),
        ("pidfd_getfd", call(libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0, 0])),
        ("bpf", call(libc::SYS_bpf, [0, 0, 0, 0, 0, 0])),
        ("keyctl", call(libc::SYS_keyctl, [0, -3, 0, 0, 0, 0])),
        ("io_uring", call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0])),
        ("userfaultfd", call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0])),
        ("perf_event_open", call(libc::SYS_perf_event_open, [0, 0, -1, -1, 0, 0])),
        ("open_by_handle_at", call(libc::SYS_open_by_handle_at, [here, 0, 0, 0, 0, 0])),
        ("kexec", call(libc::SYS_kexec_load, [0, 0, 0, 0, 0, 0])),
        ("reboot", call(libc::SYS_reboot, [0, 0, 0, 0, 0, 0])),
        ("sethostname", call(libc::SYS_sethostname, [text(c"x"), 1, 0, 0, 0, 0])),
        ("syslog", call(libc::SYS_syslog, [3, 0, 0, 0, 0, 0])),
        ("setuid", call(libc::SYS_setuid, [0, 0, 0, 0, 0, 0])),
        ("setgroups", call(libc::SYS_setgroups, [0, 0, 0, 0, 0, 0])),
        ("netlink", call(libc::SYS_socket, [16, 3, 0, 0, 0, 0])),
        ("packets", call(libc::SYS_socket, [17, 3, 0, 0, 0, 0])),
        ("vsock", call(libc::SYS_socket, [40, 1, 0, 0, 0, 0])),
        ("raw socket", call(libc::SYS_socket, [2, 3, 1, 0, 0, 0])),
    ]
}

fn other_roads(port: u16) -> Tried {
    let refused = |words: &str| Err(io::Error::other(words.to_owned()));
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let rights = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];
    let none = rights.iter().all(|name| field(name).trim_matches('0').is_empty());
    let open: Vec<String> = fs::read_dir("/proc/self/fd")
        .expect("descriptors")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|path| path.display().to_string())
        .filter(|path| !path.starts_with("pipe:") && path != "/dev/null")
        .filter(|path| !path.starts_with("/proc/") && !path.starts_with("anon_inode"))
        .filter(|path| !path.starts_with("socket:"))
        .collect();
    let processes = fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .count();
    let yes = |escaped: bool, words: &str| if escaped { Ok(()) } else { refused(words) };
    vec![
        ("the host's loopback", TcpStream::connect(("127.0.0.1", port)).map(drop)),
        ("a far address", TcpStream::connect("192.0.2.1:80").map(drop)),
        ("looking into the first process", fs::read_link("/proc/1/exe").map(drop)),
        ("memory of the first process", fs::read("/proc/1/mem").map(drop)),
        ("a link to the host's root", fs::read_dir("/proc/1/root").map(drop)),
        ("killing the first process", {
            // SAFETY: a signal to a process that ignores it.
            unsafe { libc::kill(1, libc::SIGKILL) };
            yes(!Path::new("/proc/1").exists(), "it lives")
        }),
        ("rights", yes(!none, "none")),
        ("a way to gain rights", yes(field("NoNewPrivs:") != "1", "no_new_privs")),
        ("a missing filter", yes(field("Seccomp:") != "2", "filtered")),
        ("descriptors left open", {
            if open.is_empty() { refused("none") } else { panic!("left open: {open:?}") }
        }),
        ("processes of others", yes(processes > 3, "none seen")),
        ("more processes than agreed", yes(children() >= 40, "bounded")),
    ]
}

/// How many children can be made before the kernel says no.
fn children() -> usize {
    let mut made = Vec::new();
    while made.len() < 100 {
        match std::process::Command::new("/bin/sleep").arg("100").spawn() {
            Ok(child) => made.push(child),
            Err(_) => break,
        }
    }
    let count = made.len();
    for mut child in made {
        child.kill().and_then(|()| child.wait()).expect("ended");
    }
    count
}

fn allowed() -> Tried {
    let own = || -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let joined = TcpStream::connect(listener.local_addr()?)?;
        drop((listener, joined));
        Ok(())
    };
    vec![
        ("may use its own loopback", own()),
        ("may start threads", {
            std::thread::spawn(|| ()).join().map_err(|_| io::Error::other("no thread"))
        }),
        ("may start programs", std::process::Command::new("true").status().map(drop)),
        ("may make a pipe with a name", {
            let path = c"/tmp/fifo";
            // SAFETY: a path that ends in zero.
            match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }),
        (
            "may draw random bytes",
            fs::File::open("/dev/urandom")
                .and_then(|mut file| io::Read::read_exact(&mut file, &mut [0; 16])),
        ),
    ]
}
