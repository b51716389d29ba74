//! The list is what the committed page says, and what must not be on it is not.

use super::*;

/// The calls that must never be answered, whatever the list grows to.
const NEVER: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_clone3,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_sync,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

#[test]
fn the_list_is_the_committed_one() {
    let golden = include_str!("calls.txt");
    let mut names: Vec<String> = EVERYWHERE
        .iter()
        .chain(UNNAMED)
        .map(|(name, _)| (*name).to_owned())
        .chain(["SYS_clone", "SYS_ioctl", "SYS_mknodat"].map(|it| format!("{it} (some)")))
        .chain(["SYS_personality", "SYS_socket", "SYS_socketpair"].map(|it| format!("{it} (some)")))
        .map(|name| name.trim_start_matches("SYS_").to_owned())
        .collect();
    names.sort();
    let listed: Vec<&str> = golden.lines().collect();
    assert_eq!(names, listed, "a call was added or removed: change calls.txt on purpose");
    let others = if cfg!(target_arch = "x86_64") { HERE.len() + 1 } else { 0 };
    assert_eq!(rules().expect("compiles").len(), names.len() + others);
}

#[test]
fn what_leads_out_is_not_on_the_list() {
    let rules = rules().expect("compiles");
    for call in NEVER {
        assert!(!rules.contains_key(call), "call {call} must not be answered");
    }
}

#[test]
fn the_list_compiles_for_every_processor_we_know() {
    assert!(!program().expect("compiles").is_empty());
    let rules = rules().expect("compiles");
    let (deny, allow) = (SeccompAction::Errno(38), SeccompAction::Allow);
    let arm = SeccompFilter::new(rules, deny, allow, seccompiler::TargetArch::aarch64);
    let arm: Result<BpfProgram, _> = arm.expect("compiles").try_into();
    assert!(arm.is_ok());
}
