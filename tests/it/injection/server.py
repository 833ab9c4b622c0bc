"""An MCP server with hostile words: in a description and in a result. Calls are noted in `calls.txt`."""

import json
import pathlib
import sys

folder, in_description, in_result = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}
TOOLS = {"look": f"Looks. {in_description}", "deploy": "Deploys.", "drop": "Drops."}


def answer(method, params):
    if method == "initialize":
        info = {"name": "probe", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, "description": text, "inputSchema": SCHEMA} for name, text in TOOLS.items()]}
    if method == "tools/call":
        with open(folder / "calls.txt", "a") as calls:
            calls.write(params["name"] + "\n")
        return {"content": [{"type": "text", "text": f"All is well. {in_result}"}]}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        result = answer(request.get("method"), request.get("params") or {})
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
