//! What a child gives up before it reads a stranger's first byte.

#[cfg(target_os = "linux")]
mod calls;

use std::{fs, io};

use rlimit::{Resource, setrlimit};

use super::{JOB_TIMEOUT, WORK_MAX};

/// Memory that a child may write to, in bytes: the largest picture, its scaled copy, and some spare.
pub(super) const DATA_BYTES_MAX: u64 = 640 << 20;
/// Address space beyond that, in bytes, for the mapped program.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// A child's stack, in bytes.
const STACK_BYTES_MAX: u64 = 8 << 20;
/// Open descriptors: standard input, output and error.
const DESCRIPTORS_MAX: u64 = 3;

/// Confines this process for good. Returns why system calls cannot be refused, if the system has no filter.
///
/// # Errors
/// If a limit cannot be set: then nothing may be decoded.
pub(super) fn confine() -> io::Result<Option<String>> {
    // Out of memory, the kernel should kill this process before the one that serves. Some systems do not allow it.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    close_inherited();
    limit()?;
    Ok(refuse_calls().err())
}

/// Closes descriptors that were inherited from Workmate's own parent; what Workmate opens is never inherited.
fn close_inherited() {
    let Ok(listed) = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd")) else { return };
    let open: Vec<i32> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // Fails for the listing's own descriptor, which is closed already.
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
