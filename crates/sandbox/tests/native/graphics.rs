//! Graphics processors: whole, to one run at a time, and nobody else's in sight. Their device files
//! are made here, with the right numbers and no device behind them.

use std::path::Path;

use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    io::Errno,
};
use sandbox::{Graphics, Outcome, Preparation, Runtime, Spec, Stream};

use crate::bench::{Bench, shell, text, until};

/// The numbers of `/dev/nvidiactl` and `/dev/null`.
const CONTROL: (u32, u32) = (195, 255);
const NULL: (u32, u32) = (1, 3);

/// Make a device file; `false` where only the machine's own root may.
fn make(folder: &Path, name: &str, (kind, number): (u32, u32)) -> bool {
    let mode = Mode::from_raw_mode(0o666);
    let device = makedev(kind, number);
    match mknodat(CWD, folder.join(name), FileType::CharacterDevice, mode, device) {
        Ok(()) => true,
        Err(Errno::PERM) => false,
        Err(errno) => panic!("{errno}"),
    }
}

fn wanting(gpus: u32, script: &str) -> Spec {
    let mut spec = shell(script);
    spec.limits.resources.gpus = gpus;
    spec
}

#[tokio::test]
async fn a_run_sees_the_graphics_processors_reserved_for_it_and_no_others() {
    let devices = tempfile::tempdir().expect("a folder");
    for number in [0, 1, 2] {
        if !make(devices.path(), &format!("nvidia{number}"), (195, number)) {
            eprintln!("passed over: device files may not be made here");
            return;
        }
    }
    make(devices.path(), "nvidiactl", CONTROL);
    let graphics = Graphics::under(devices.path(), [0, 1, 2]);
    let [first, second, third] = [(); 3].map(|()| Bench::with_graphics(graphics.clone()));

    let look = "stat -c '%n %t,%T' /dev/nvidia*; while [ ! -e out/end ]; do sleep 0.02; done";
    let one = first.start(&wanting(2, look)).await;
    let seen = "/dev/nvidia0 c3,0\n/dev/nvidia1 c3,1\n/dev/nvidiactl c3,ff\n";
    until(&*one, |progress| progress.stdout >= seen.len() as u64).await;
    assert_eq!(text(&*one, Stream::Stdout).await, seen);
    let other = second.run(&wanting(1, "ls /dev | grep nvidia")).await;
    assert_eq!(other.stdout, "nvidia2\nnvidiactl\n", "{other:?}");
    let none = third.run(&wanting(0, "ls /dev | grep nvidia")).await;
    assert_eq!((none.stdout.as_str(), none.exit.exit_code), ("", Some(1)));

    std::fs::write(first.folder().join("work/out/end"), "").expect("written");
    let done = first.finish(&*one).await;
    assert_eq!(done.exit.ending.outcome, Outcome::Completed);
    let all = third.run(&wanting(3, "ls /dev | grep nvidia")).await;
    assert_eq!(all.stdout, "nvidia0\nnvidia1\nnvidia2\nnvidiactl\n", "they are free again");
}

#[tokio::test]
async fn something_else_under_its_name_is_no_graphics_processor() {
    let devices = tempfile::tempdir().expect("a folder");
    if !make(devices.path(), "nvidia0", NULL) || !make(devices.path(), "nvidiactl", CONTROL) {
        eprintln!("passed over: device files may not be made here");
        return;
    }
    let bench = Bench::with_graphics(Graphics::under(devices.path(), [0]));
    let done = bench.run(&wanting(1, "true")).await;
    assert_eq!(done.exit.ending.outcome, Outcome::SandboxFault);
    assert!(done.exit.ending.cause.contains("opening the devices"), "{done:?}");
}

#[tokio::test]
async fn more_than_the_machine_gives_are_refused_before_anything_starts() {
    let bench = Bench::new();
    let answer = bench.runtime.prepare(&wanting(1, "true"), &bench.folder()).await;
    match answer.expect("decided") {
        Preparation::Refused(ending) => {
            assert_eq!(ending.outcome, Outcome::Refused);
            assert!(ending.cause.contains("gives 0"), "{ending:?}");
        }
        Preparation::Ready(_) => panic!("it must be refused"),
    }
}
