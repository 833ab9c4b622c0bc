# The everyday commands, for those who have `just` (https://just.systems). CONTRIBUTING.md has the plain commands beside.

# Names every recipe.
default:
    @just --list

# Runs every test: unit tests, then the live ones against a real homeserver.
test:
    cargo test --locked

# Runs unit tests, of one module where it is named: `just unit core::address`.
unit *filter:
    cargo test --locked --lib {{filter}}

# Runs live tests: `just live a_mention_in_an_encrypted`.
live *filter:
    cargo test --locked --test it {{filter}} -- --test-threads 2

# Runs clippy as CI does: warnings are errors.
lint:
    cargo clippy --locked --all-targets -- -D warnings

# Checks licences, sources and known vulnerabilities of what is built in, and that all of it is used.
dependencies:
    .ci/dependencies

# Formats the sources.
fmt:
    cargo fmt

# Builds the documentation of the code, private items included.
docs:
    RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items

# Fuzzes each target for so many seconds.
fuzz seconds='60':
    cargo bench --locked --profile dev --bench fuzz -- --seconds {{seconds}}

# Runs the bad days: `just chaos --only kills --kills 20`.
chaos *args:
    cargo bench --locked --profile dev --bench chaos -- {{args}}

# Measures: `just bench overhead`; also assistants, context, sandbox, tools.
bench name *args:
    cargo bench --locked --profile dev --bench {{name}} -- {{args}}

# Shows a workplace on this machine: `just demo --once`.
demo *args:
    cargo run --locked -- demo {{args}}

# Checks the files that install Workmate: unit, maintainer scripts, metadata, containers.
package:
    .ci/package

# Builds a release into target/: `just release --twice` proves that it is reproducible.
release *args:
    .ci/release {{args}}

# Checks everything that a change has to pass.
ci:
    .ci/run

# Checks what takes too long for every change: an hour or two.
long:
    .ci/long
