//! Conformance: our wire types and stream read every sample response in the official Python SDK's published source, and
//! must agree with what the SDK makes of it.
//!
//! The source distribution is downloaded from the registry into `target/sdk-check` and kept for the next run. The npm
//! package ships no samples; its SDK judges the stand-in's streams (`standin_sdks.rs`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;
use workmate::claude::{
    stream::{Assembler, Limits, StreamError},
    wire::{ContentBlock, Message, StopReason},
};

use crate::standin_sdks::{PYTHON_SDK, directory, install_python, run, skip};

/// The least number of samples; fewer mean that the extraction is broken.
const SAMPLES_MIN: usize = 25;

#[tokio::test]
async fn api_every_sample_of_the_python_sdk_is_read_as_the_sdk_reads_it() {
    let Some(python) = install_python().await else { return };
    let Some(source) = download(&python).await else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/standin_sdks/samples.py");
    let printed = run(Command::new(&python).arg(script).arg(&source)).await.expect("the samples are collected");
    let samples: Vec<Value> = serde_json::from_str(printed.trim()).expect("a list of samples");
    assert!(samples.len() >= SAMPLES_MIN, "{} samples", samples.len());
    let disagreements: Vec<String> = samples.iter().filter_map(disagreement).collect();
    assert!(disagreements.is_empty(), "{} of {}:\n{}", disagreements.len(), samples.len(), disagreements.join("\n"));
}

/// Returns how our reading of a sample differs from the SDK's.
fn disagreement(sample: &Value) -> Option<String> {
    let (name, body) = (sample["name"].as_str()?, sample["body"].as_str()?);
    let ours = match sample["kind"].as_str()? {
        "stream" => assemble(body),
        "message" => serde_json::from_str(body).map_err(|error| error.to_string()),
        // The client's own tests cover errors.
        _ => return None,
    };
    match (ours, &sample["sdk"]) {
        // The SDK raises only for a call's arguments, which we pass on for the model to mend.
        (Ok(_), Value::Null) => None,
        (Ok(message), sdk) => {
            let (ours, mut sdk) = (summary(&message), sdk.clone());
            if message.stop_reason.as_ref().is_some_and(StopReason::is_cut_off) {
                drop_call(&message, &mut sdk);
            }
            (ours != sdk).then(|| format!("{name}:\n  ours {ours}\n  sdk  {sdk}"))
        }
        (Err(error), sdk) => Some(format!("{name}: not read ({error}); sdk {sdk}")),
    }
}

/// The SDK keeps part of a call that was cut off; we drop it, so that nobody can run it.
fn drop_call(ours: &Message, sdk: &mut Value) {
    let kept = ours.content.len();
    if sdk["kinds"].as_array().is_some_and(|kinds| kinds.len() == kept + 1 && kinds[kept] == "tool_use") {
        for list in ["kinds", "inputs"] {
            sdk[list].as_array_mut().expect("a list").pop();
        }
    }
}

/// Reads a stream in pieces that split lines and characters.
fn assemble(body: &str) -> Result<Message, String> {
    let (mut assembler, mut news) = (Assembler::new(Limits::default()), VecDeque::new());
    let read = body.as_bytes().chunks(7).try_for_each(|piece| assembler.feed(piece, &mut news));
    assembler.end(&mut news);
    read.and_then(|()| assembler.finish()).map_err(|error: StreamError| error.to_string())
}

fn summary(message: &Message) -> Value {
    let raw: Vec<Value> =
        message.content.iter().map(|block| serde_json::to_value(block).expect("a block is JSON")).collect();
    let is = |block: &Value, kinds: &[&str]| kinds.iter().any(|kind| block["type"] == *kind);
    let texts = || raw.iter().filter(|block| is(block, &["text"]));
    let usage = &message.usage;
    json!({
        "id": message.id,
        "model": message.model,
        "stop_reason": message.stop_reason.clone().map(String::from),
        "category": message.stop_details.as_ref().and_then(|details| details.category.clone()),
        "kinds": message.content.iter().map(ContentBlock::kind).collect::<Vec<_>>(),
        "texts": texts().map(|block| block["text"].clone()).collect::<Vec<_>>(),
        "citations": texts().map(|block| block["citations"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>(),
        "inputs": raw.iter().filter(|block| is(block, &["tool_use", "server_tool_use"])).map(|block| block["input"].clone())
            .collect::<Vec<_>>(),
        "container": message.container.as_ref().and_then(|json| json.read::<Value>().ok()).and_then(|container| {
            container["id"].as_str().map(ToOwned::to_owned)
        }),
        "usage": [
            usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens,
        ],
    })
}

/// Downloads and unpacks the SDK's source; `None` if the registry is unreachable.
async fn download(python: &Path) -> Option<PathBuf> {
    let folder = directory("source");
    let name = PYTHON_SDK.replace("==", "-");
    let unpacked = folder.join(&name);
    if unpacked.join("tests").exists() {
        return Some(unpacked);
    }
    std::fs::create_dir_all(&folder).expect("target is writable");
    let mut fetch = Command::new(python);
    fetch.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]);
    if let Err(error) = run(fetch.arg("--dest").arg(&folder).arg(PYTHON_SDK)).await {
        skip(&format!("the SDK's source cannot be downloaded: {}", error.lines().last().unwrap_or_default()));
        return None;
    }
    let archive = folder.join(format!("{name}.tar.gz"));
    let unpack = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')";
    run(Command::new(python).args(["-c", unpack]).arg(&archive).arg(&folder)).await.expect("the archive unpacks");
    Some(unpacked)
}
