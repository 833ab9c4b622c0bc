//! `workmate demo` in a build without it: says so.

use anyhow::{Result, bail};

/// What `workmate demo` can be told; nothing of it is read here.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<String>,
}

/// Says that there is no demo.
///
/// # Errors
/// Always.
#[expect(clippy::unused_async, reason = "the demo is awaited")]
pub async fn run(args: DemoArgs) -> Result<()> {
    drop(args.ignored);
    bail!(
        "this build has no demo: it was made for servers, without the feature `doubles`\n  \
         Mend: in a checkout, run `cargo run -- demo`, which builds with it."
    );
}
