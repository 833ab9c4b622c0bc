//! The child's side: confines itself, then decodes one file after another until its parent is gone.

use std::{
    io::{self, Read, Write},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use super::{
    confine,
    frame::{self, Answer, Hello, Job, PROTOCOL},
};
use crate::core::media;

/// Serves on standard input and output. Call it before any thread is started or file is opened.
#[must_use]
pub fn run() -> ExitCode {
    // A panic message could quote a stranger's file.
    panic::set_hook(Box::new(|_| {}));
    let Ok(unfiltered) = confine::confine() else { return ExitCode::FAILURE };
    let hello = Hello { protocol: PROTOCOL, unfiltered };
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock(), &hello) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Answers jobs until the input ends.
pub(super) fn serve(input: &mut impl Read, output: &mut impl Write, hello: &Hello) -> io::Result<()> {
    output.write_all(&frame::header(hello)?)?;
    output.flush()?;
    while let Some(job) = frame::read::<Job>(input)? {
        let bytes = frame::read_bytes(input, job.bytes)?;
        // A panic discards the decoder's state, and we share none of it.
        let Ok(outcome) = panic::catch_unwind(AssertUnwindSafe(|| media::decode(job.kind, &bytes))) else {
            output.write_all(&frame::header(&Answer::Panicked)?)?;
            return output.flush();
        };
        frame::write(output, &outcome)?;
    }
    Ok(())
}
