"""Checks the Debian package's metadata, from what `cargo metadata` says on standard input."""

import glob
import json
import os
import re
import sys

faults = []
package = json.load(sys.stdin)["packages"][0]
deb = package["metadata"]["deb"]

for source, target, mode in deb["assets"]:
    if source != "target/release/workmate" and not glob.glob(source):
        faults.append(f"Cargo.toml: the package's {source} is not there.")
    if target.startswith("etc/"):
        faults.append(f"Cargo.toml: {target} would be a conffile: `workmate init` writes what is the operator's.")

# cargo-deb puts what systemd needs in this line's place; without it a script says nothing to systemd.
for name in ("postinst", "prerm", "postrm"):
    path = os.path.join(deb["maintainer-scripts"], name)
    with open(path) as file:
        text = file.read()
    if "\n#DEBHELPER#\n" not in text or not text.startswith("#!/bin/sh\n") or "\nset -e\n" not in text:
        faults.append(f"{path}: has to be a sh script with `set -e` and the line #DEBHELPER#.")
    if not os.access(path, os.X_OK):
        faults.append(f"{path}: cannot be run. Mend: chmod +x.")

with open(deb["changelog"]) as file:
    newest = re.match(r"workmate \(([^)-]+)-\d+\) ", file.read())
if not newest or newest[1] != package["version"]:
    faults.append(f"{deb['changelog']}: its newest entry is not of {package['version']}, which Cargo.toml has.")

# The places that `workmate init --system` writes, and everything else expects.
places = {
    "config/systemd/workmate.service": ["/etc/workmate/workmate.yaml", "/etc/workmate/environment", "StateDirectory=workmate"],
    "config/debian/postinst": ["/etc/workmate", "/var/lib/workmate"],
    "config/debian/postrm": ["rm -rf /etc/workmate /var/lib/workmate"],
    "config/container/Containerfile": ["/etc/workmate", "/var/lib/workmate", "USER 10330:10330", "HEALTHCHECK"],
    "config/container/compose.yaml": ["/etc/workmate", "/var/lib/workmate", 'UID: "10330"'],
    "src/cli/init/places.rs": ['"/etc/workmate"', '"/var/lib/workmate"'],
    "src/cli.rs": ['"/etc/workmate/workmate.yaml"'],
}
for path, wanted in places.items():
    with open(path) as file:
        text = file.read()
    faults += [f"{path}: does not have {part}." for part in wanted if part not in text]

for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(bool(faults))
