"""What Workmate is built from: one ruma, known licences, one registry, nothing unused.

Reads `cargo metadata`; needs no network and no tools of its own.
"""

import json
import pathlib
import re
import subprocess
import sys

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
DENY = pathlib.Path("deny.toml").read_text()
LICENCES = set(re.findall(r'"([^"]+)"', re.search(r"(?ms)^allow = \[(.*?)^\]", DENY)[1]))
# Two versions of one of these do not understand each other's types, or hold two stores of the same keys.
ONCE = set(re.findall(r'crate = "([^"]+)", deny-multiple-versions = true', DENY))


def licensed(expression):
    """Returns whether an SPDX expression can be met with LICENCES; `/` is an old way to write OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    words = re.sub(r" WITH ", "~WITH~", " ".join(words)).split()

    def either():
        met = both()
        while words and words[0] == "OR":
            words.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while words and words[0] == "AND":
            words.pop(0)
            met = one() and met
        return met

    def one():
        word = words.pop(0)
        if word != "(":
            return word.replace("~", " ").removesuffix("+") in LICENCES
        met = either()
        words.pop(0)
        return met

    return bool(words) and either() and not words


def unused(package):
    """Returns the direct dependencies that no source names, but for those that Cargo.toml says are meant."""
    meant = (package["metadata"] or {}).get("cargo-machete", {}).get("ignored", [])
    folders = [folder for folder in ("src", "tests", "benches") if pathlib.Path(folder).is_dir()]
    sources = [path.read_text() for folder in folders for path in pathlib.Path(folder).rglob("*.rs")]
    for dependency in package["dependencies"]:
        name = (dependency["rename"] or dependency["name"]).replace("-", "_")
        named = re.compile(rf"\b{name}(::|;| as )|\buse (::)?{name}\b")
        if dependency["name"] not in meant and not any(named.search(source) for source in sources):
            yield dependency["name"]


def faults(metadata):
    """Returns what is wrong, a line each."""
    versions = {}
    for package in metadata["packages"]:
        name, label = package["name"], f"{package['name']} {package['version']}"
        versions.setdefault(name, []).append(package["version"])
        if package["source"] not in (None, REGISTRY):
            yield f"{label}: comes from {package['source']}. Mend: take it from crates.io."
        if not licensed(package["license"] or ""):
            yield f"{label}: licence `{package['license']}`. Mend: judge it, then add it to deny.toml or do without."
        if package["source"] is None:
            for name in unused(package):
                yield f"Cargo.toml: {name} is not used. Mend: remove it, or name it in package.metadata.cargo-machete."
    for name, found in versions.items():
        if len(found) > 1 and name in ONCE:
            yield f"{name}: {' and '.join(found)} at once. Mend: ask for one version; `cargo tree -i {name}` says who asks."


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = list(faults(metadata))
    print("\n".join(found) or f"{len(metadata['packages'])} packages: one ruma, known licences, nothing unused")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
