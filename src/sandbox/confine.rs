//! What a child gives up before it reads a stranger's first byte.

#[cfg(target_os = "linux")]
mod calls;

use std::{fs, io};

use rlimit::{Resource, setrlimit};

use super::{JOB_TIMEOUT, WORK_MAX};

/// Memory that a child may write to, in bytes: a picture of the most pixels, the same made smaller, and room.
pub(super) const DATA_BYTES_MAX: u64 = 640 << 20;
/// Addresses that a child may use besides, in bytes: its program, which is mapped.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// A child's stack, in bytes.
const STACK_BYTES_MAX: u64 = 8 << 20;
/// Descriptors: standard input, output and error.
const DESCRIPTORS_MAX: u64 = 3;

/// Confines this process for good. Returns why system calls are not refused, where the system cannot do that.
///
/// # Errors
/// Where a limit cannot be set: then nothing is to be decoded.
pub(super) fn confine() -> io::Result<Option<String>> {
    // Where memory runs out, this process goes before the one that serves. Not everywhere is that allowed.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    close_inherited();
    limit()?;
    Ok(refuse_calls().err())
}

/// Closes what whoever started Workmate left open in it; what Workmate itself opens is never inherited.
fn close_inherited() {
    let Ok(listed) = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd")) else { return };
    let open: Vec<i32> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The list's own is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

fn limit() -> io::Result<()> {
    let seconds = (JOB_TIMEOUT + WORK_MAX).as_secs();
    let limits = [
        (Resource::DATA, DATA_BYTES_MAX),
        (Resource::AS, DATA_BYTES_MAX + PROGRAM_BYTES_MAX),
        (Resource::STACK, STACK_BYTES_MAX),
        (Resource::CPU, seconds),
        (Resource::CORE, 0),
        (Resource::FSIZE, 0),
        (Resource::NOFILE, DESCRIPTORS_MAX),
        (Resource::NPROC, 0),
        (Resource::MEMLOCK, 0),
        (Resource::MSGQUEUE, 0),
    ];
    for (resource, most) in limits {
        if resource.is_supported() {
            setrlimit(resource, most, most)?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn refuse_calls() -> Result<(), String> {
    calls::refuse()
}

#[cfg(not(target_os = "linux"))]
fn refuse_calls() -> Result<(), String> {
    Err("this system has no filter of system calls".to_owned())
}
