//! Each way to end is told apart, with its cause and what to do next.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use primitives::{Bytes, Seconds};
use sandbox::{Outcome, Preparation, Runtime, Spec, Stream, Wall};

use crate::bench::{Bench, Done, mark, processes, shell, text, until, until_running};

fn check(done: &Done, outcome: Outcome, words: &str) {
    let ending = &done.exit.ending;
    assert_eq!(ending.outcome, outcome, "{done:?}");
    assert!(ending.cause.contains(words), "{ending}");
    assert!(!ending.next.is_empty(), "{ending}");
}

#[tokio::test]
async fn a_program_that_succeeds() {
    let bench = Bench::new();
    bench.place("name", "world");
    let done = bench.run(&shell("echo hello $(cat name); pwd; id -un; echo oops >&2")).await;
    check(&done, Outcome::Completed, "exited with 0");
    assert_eq!(done.stdout, "hello world\n/work\njob\n");
    assert_eq!(done.stderr, "oops\n");
    assert_eq!((done.exit.exit_code, done.exit.signal), (Some(0), None));
    assert!(done.exit.started && done.exit.samples >= 2);
    assert_eq!(done.exit.paused_ms, 0);
    assert_eq!(done.exit.usage().elapsed, Seconds(1));
    assert_eq!(done.exit.exit_status(), 0);
}

#[tokio::test]
async fn a_program_that_fails() {
    let done = Bench::new().run(&shell("exit 3")).await;
    check(&done, Outcome::NonZeroExit, "exited with 3");
    assert_eq!((done.exit.exit_code, done.exit.exit_status()), (Some(3), 3));
}

#[tokio::test]
async fn a_program_that_crashes() {
    let done = Bench::new().run(&shell("kill -SEGV $$")).await;
    check(&done, Outcome::Signalled, "signal 11 (SEGV)");
    assert_eq!((done.exit.signal, done.exit.exit_status()), (Some(11), 139));
}

#[tokio::test]
async fn a_program_that_is_killed_without_the_kernel_naming_memory() {
    let done = Bench::new().run(&shell("kill -KILL $$")).await;
    check(&done, Outcome::Killed, "does not name memory");
    assert_eq!((done.exit.signal, done.exit.exit_status()), (Some(9), 137));
}

#[tokio::test]
async fn a_program_that_takes_too_long() {
    let mut spec = shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done");
    spec.limits.time = Seconds(1);
    let done = Bench::new().run(&spec).await;
    check(&done, Outcome::TimedOut, "1s");
    assert_eq!(done.stdout, "bye\n", "it may end by itself");
    assert_eq!((done.exit.elapsed_ms, done.exit.exit_status()), (1_000, 124));
}

#[tokio::test]
async fn a_program_that_takes_more_memory_than_agreed() {
    let bench = Bench::new();
    let walls = bench.runtime.probe(bench.scratch.path()).await.expect("fit");
    if walls.memory != Wall::Kernel {
        eprintln!("passed over: no right to bound memory by cgroup ({walls:?})");
        return;
    }
    let mut spec = shell("head -c 300M /dev/zero | tail -c 300M | wc -c");
    spec.limits.resources.memory = Bytes::mebi(64);
    let done = bench.run(&Spec { program: "tail".to_owned(), ..spec.clone() }).await;
    assert_ne!(done.exit.ending.outcome, Outcome::OutOfMemory, "a failure alone is no evidence");
    spec.arguments[1] = "head -c 300M /dev/zero | tail -c 300M >out/x; exit 5".to_owned();
    let done = bench.run(&spec).await;
    check(&done, Outcome::OutOfMemory, "limit of 64 MiB");
    assert!(done.exit.peak >= Bytes::mebi(60), "{done:?}");
    assert_eq!(done.exit.exit_code, Some(5));
}

#[tokio::test]
async fn memory_that_is_hidden_in_files_counts_as_memory() {
    let bench = Bench::new();
    let walls = bench.runtime.probe(bench.scratch.path()).await.expect("fit");
    if walls.memory != Wall::Kernel {
        eprintln!("passed over: no right to bound memory by cgroup ({walls:?})");
        return;
    }
    let mut spec = shell("head -c 60M /dev/zero >/tmp/x; head -c 60M /dev/zero >/dev/shm/x");
    spec.limits.resources.memory = Bytes::mebi(64);
    let done = bench.run(&spec).await;
    assert!(
        done.exit.ending.outcome == Outcome::OutOfMemory || done.stderr.contains("No space"),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_program_that_writes_more_output_than_agreed_even_if_it_then_succeeds() {
    let bench = Bench::new();
    for script in ["head -c 3M /dev/zero >out/x", "truncate -s 1G out/sparse; sleep 60"] {
        let mut spec = shell(script);
        spec.limits.output = Bytes::mebi(1);
        let done = bench.run(&spec).await;
        check(&done, Outcome::OutputLimit, "1 MiB are agreed");
        assert_ne!(done.exit.exit_status(), 0);
    }
}

#[tokio::test]
async fn a_program_that_fills_the_disk_with_one_file_or_with_many() {
    let bench = Bench::new();
    let one = "exec head -c 50M /dev/zero >big";
    let many = "i=0; while :; do i=$((i+1)); : >f$i; done";
    let deep = "while mkdir d && cd d; do :; done; sleep 60";
    for script in [one, many, deep] {
        let mut spec = shell(script);
        spec.limits.resources.disk = Bytes::mebi(8);
        let done = bench.run(&spec).await;
        check(&done, Outcome::DiskFull, "8 MiB are agreed");
    }
}

#[tokio::test]
async fn a_missing_program_is_found_out_before_anything_runs() {
    let bench = Bench::new();
    for missing in ["no-such-program", "/work/nothing", "./nothing", "/root/.profile"] {
        let spec = Spec::host(missing, [""; 0]);
        match bench.runtime.prepare(&spec, &bench.folder()).await.expect("prepared") {
            Preparation::Refused(ending) => {
                assert_eq!(ending.outcome, Outcome::MissingProgram, "{ending}");
                assert!(ending.cause.contains(missing), "{ending}");
            }
            Preparation::Ready(_) => panic!("{missing} is not there"),
        }
        assert!(bench.runtime.adopt(&bench.folder()).await.expect("looked").is_none());
    }
}

#[tokio::test]
async fn a_file_that_is_no_program_is_found_out_before_anything_runs() {
    let bench = Bench::new();
    bench.place("plain", "just words");
    for plain in ["./plain", "/usr"] {
        let spec = Spec::host(plain, [""; 0]);
        match bench.runtime.prepare(&spec, &bench.folder()).await.expect("prepared") {
            Preparation::Refused(ending) => assert_eq!(ending.outcome, Outcome::NotExecutable),
            Preparation::Ready(_) => panic!("{plain} is no program"),
        }
    }
}

#[tokio::test]
async fn what_only_exec_finds_out_is_not_billed() {
    let bench = Bench::new();
    let script = |first_line: &str| {
        let path = bench.place("script", format!("{first_line}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
    };
    let spec = Spec::host("./script", [""; 0]);
    script("#!/no/such/interpreter");
    let done = bench.run(&spec).await;
    check(&done, Outcome::MissingProgram, "./script");
    assert_eq!((done.exit.started, done.exit.elapsed_ms, done.exit.samples), (false, 0, 0));
    assert_eq!((done.exit.usage().elapsed, done.exit.exit_status()), (Seconds(0), 127));
    script("\u{7f}ELF is not enough");
    let done = bench.run(&spec).await;
    check(&done, Outcome::NotExecutable, "./script");
    assert_eq!((done.exit.started, done.exit.exit_status()), (false, 126));
}

#[tokio::test]
async fn a_stop_lets_the_program_tidy_up_and_kills_one_that_does_not() {
    let bench = Bench::new();
    let polite = "trap 'echo tidy >out/x; exit 0' TERM; echo on; while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM; echo on; while :; do sleep 0.05; done";
    for (script, grace) in
        [(polite, Duration::from_secs(30)), (stubborn, Duration::from_millis(50))]
    {
        let run = bench.start(&shell(script)).await;
        until(&*run, |progress| progress.stdout > 0).await;
        run.stop(grace).await.expect("told");
        let progress = until(&*run, |progress| progress.exit().is_some()).await;
        let exit = progress.exit().expect("ended");
        assert_eq!(exit.ending.outcome, Outcome::Stopped, "{exit:?}");
        let outputs = run.outputs().await.expect("listed");
        assert_eq!(outputs.len(), usize::from(script == polite));
        if script == polite {
            assert_eq!(run.read_output("x", 0, 100).await.expect("read"), b"tidy\n");
        }
        bench.runtime.wipe(run.folder()).await.expect("wiped");
    }
}

#[tokio::test]
async fn a_flood_of_words_is_cut_and_the_program_goes_on() {
    let mut spec = shell("head -c 3M /dev/zero | tr '\\0' x; echo done >&2");
    spec.limits.log = Bytes(1_000);
    let done = Bench::new().run(&spec).await;
    check(&done, Outcome::Completed, "exited with 0");
    assert_eq!(done.exit.log_dropped, Bytes((3 << 20) - 1_000));
    assert!(done.stdout.ends_with("[plaza: the log ends here at 1000 B]\n"), "{}", done.stdout);
    assert_eq!(done.stderr, "done\n");
}

#[tokio::test]
async fn words_arrive_while_the_program_runs() {
    let bench = Bench::new();
    bench.place("go/wait", "");
    let run = bench
        .start(&shell("echo first; while [ -e go/wait ]; do sleep 0.02; done; echo second"))
        .await;
    until(&*run, |progress| progress.stdout >= 6).await;
    assert_eq!(text(&*run, Stream::Stdout).await, "first\n");
    std::fs::remove_file(bench.folder().join("work/go/wait")).expect("removed");
    let done = bench.finish(&*run).await;
    assert_eq!(done.stdout, "first\nsecond\n");
}

#[tokio::test]
async fn what_the_program_leaves_running_ends_with_it() {
    let (bench, mark) = (Bench::new(), mark());
    let done = bench.run(&shell(&format!("setsid sleep {mark} & echo on"))).await;
    check(&done, Outcome::Completed, "exited with 0");
    assert_eq!(processes(&mark), [0; 0]);
}

#[tokio::test]
async fn a_pause_stops_the_work_and_its_clock() {
    let bench = Bench::new();
    let mut spec = shell("while :; do echo x; sleep 0.02; done");
    spec.limits.time = Seconds(2);
    let run = bench.start(&spec).await;
    until_running(&*run).await;
    until(&*run, |progress| progress.stdout > 4).await;
    run.pause().await.expect("told");
    let held = until(&*run, |progress| progress.phase == sandbox::Phase::Paused).await;
    // Longer than the whole limit of time: a clock that went on would end the run.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let still = run.progress().await.expect("progress");
    assert_eq!(still.phase, sandbox::Phase::Paused);
    assert_eq!(still.elapsed, held.elapsed);
    assert!(still.paused >= Duration::from_secs(2), "{still:?}");
    assert!(still.stdout <= held.stdout + 2, "held work says nothing");
    run.resume().await.expect("told");
    until(&*run, |progress| progress.stdout > still.stdout + 2).await;
    let done = bench.finish(&*run).await;
    check(&done, Outcome::TimedOut, "2s");
    assert_eq!(done.exit.elapsed_ms, 2_000);
    assert!(done.exit.paused_ms >= 2_000, "{done:?}");
}

#[tokio::test]
async fn samples_come_each_second_in_an_unbroken_chain() {
    let bench = Bench::new();
    let run =
        bench.start(&shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1.5")).await;
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    let exit = progress.exit().expect("ended").clone();
    let beats = run.samples(0).await.expect("unbroken");
    assert_eq!(beats.len() as u64, exit.samples);
    assert_eq!(beats.last().map(|beat| beat.chain), Some(exit.chain));
    assert_eq!(run.samples(2).await.expect("unbroken"), beats[2..]);
    assert_eq!(run.samples(99).await.expect("none"), []);
    assert!(beats.len() >= 3, "{beats:?}");
    assert_eq!(beats[0].sample.at_ms, 0);
    assert!(beats.is_sorted_by_key(|beat| (beat.sample.at_ms, beat.sample.cpu_ms)));
    assert!(exit.cpu_ms > 10 && exit.peak > Bytes(0), "{exit:?}");
    let last = beats.last().expect("a sample").sample;
    assert_eq!((last.at_ms, last.cpu_ms, last.peak), (exit.elapsed_ms, exit.cpu_ms, exit.peak));
    let path = sandbox::Folder::new(run.folder()).samples();
    let forged =
        std::fs::read_to_string(&path).expect("samples").replacen("\"at_ms\":0", "\"at_ms\":5", 1);
    std::fs::write(&path, forged).expect("forged");
    assert!(matches!(run.samples(0).await, Err(sandbox::Error::Chain { line: 0, .. })));
}

#[tokio::test]
async fn an_image_folder_is_all_that_is_seen() {
    let bench = Bench::new();
    let image = bench.scratch.path().join("image");
    for folder in ["bin", "etc", "proc", "data"] {
        std::fs::create_dir_all(image.join(folder)).expect("made");
    }
    std::fs::write(image.join("etc/motto"), "from the image").expect("written");
    for program in ["busybox", "sh", "ls", "cat"] {
        let Some(path) = ["/bin", "/usr/bin"]
            .iter()
            .map(|it| format!("{it}/{program}"))
            .find(|it| std::path::Path::new(it).exists())
        else {
            continue;
        };
        std::fs::copy(&path, image.join("bin").join(program)).expect("copied");
        for library in libraries(&path) {
            let to = image.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            std::fs::copy(&library, to).expect("copied");
        }
    }
    let mut spec = shell("cat /etc/motto; ls /; ls /work; echo x >/data/y");
    spec.root = sandbox::Root::Image(image);
    let done = bench.run(&spec).await;
    assert!(done.stdout.starts_with("from the image"), "{done:?}");
    assert!(!done.stdout.contains("usr\n") || std::path::Path::new("/usr/lib").exists());
    assert!(done.stdout.contains("out\n") && !done.stdout.contains("root\n"), "{done:?}");
    assert!(done.stderr.contains("ead-only") || done.stderr.contains("ermission"), "{done:?}");
}

/// The libraries that a program needs, as the loader lists them.
fn libraries(program: &str) -> Vec<String> {
    let listed = std::process::Command::new("ldd").arg(program).output().expect("ldd");
    String::from_utf8_lossy(&listed.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| word.trim_end_matches(':').to_owned())
        .collect()
}
