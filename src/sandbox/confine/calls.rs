//! The system calls that a child keeps (seccomp): memory, its three descriptors, and dying. Every other call fails with
//! EPERM, so a child opens no file, makes no socket and starts no program or thread.

use std::{collections::BTreeMap, process};

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Calls that are harmless with any arguments.
const KEPT: [c_long; 17] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];
const STDIN: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;
/// The descriptor that `mmap` takes for anonymous memory: −1.
const NO_FILE: u64 = 0xffff_ffff;

type Rules = Vec<SeccompRule>;

/// Refuses every other call from now on, irrevocably.
pub(super) fn refuse() -> Result<(), String> {
    let program = program().map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())
}

fn program() -> Result<BpfProgram, BackendError> {
    let mut kept: BTreeMap<i64, Rules> = KEPT.iter().map(|call| (*call, Vec::new())).collect();
    kept.insert(libc::SYS_read, vec![only([of(0, STDIN)])?]);
    for call in [libc::SYS_write, libc::SYS_writev] {
        kept.insert(call, vec![only([of(0, STDOUT)])?, only([of(0, STDERR)])?]);
    }
    kept.insert(libc::SYS_mmap, vec![only([never_runs(2), of(4, NO_FILE)])?]);
    kept.insert(libc::SYS_mprotect, vec![only([never_runs(2)])?]);
    // An aborting process signals itself; it may signal nobody else.
    kept.insert(libc::SYS_tgkill, vec![only([of(0, u64::from(process::id()))])?]);
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(kept, not_permitted, SeccompAction::Allow, arch)?.try_into()
}

fn only<const N: usize>(conditions: [Result<SeccompCondition, BackendError>; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

fn of(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
}

/// A condition that the memory is not executable.
fn never_runs(argument: u8) -> Result<SeccompCondition, BackendError> {
    let runs = u64::from(libc::PROT_EXEC.unsigned_abs());
    SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(runs), 0)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::ErrorKind::PermissionDenied, net, process::Command, thread};

    use super::*;

    #[test]
    fn s3_a_child_opens_no_file_and_no_socket_and_starts_nothing() {
        // The filter binds the thread that sets it, and this thread ends with the test.
        let confined = thread::spawn(|| {
            refuse()?;
            let refused = [
                File::open("/dev/null").err(),
                File::create("/tmp/workmate-of-a-child").err(),
                net::TcpStream::connect(("127.0.0.1", 9)).err(),
                net::UdpSocket::bind("127.0.0.1:0").err(),
                Command::new("/bin/true").spawn().err(),
                thread::Builder::new().spawn(|| {}).err(),
                std::env::set_current_dir("/tmp").err(),
            ];
            // Memory can still be allocated.
            let memory = vec![1_u8; 8 << 20];
            Ok::<_, String>((refused.map(|error| error.map(|error| error.kind())), memory.len()))
        });
        let (refused, memory) = confined.join().expect("it lives").expect("this system has the filter");
        assert_eq!((refused, memory), ([Some(PermissionDenied); 7], 8 << 20));
    }
}
