"""An MCP server that tells everything it knows: in names, descriptions, schemas, results, errors and standard error."""

import base64
import json
import os
import sys
import urllib.parse

token = os.environ["API_TOKEN"]
known = json.dumps(dict(os.environ))
forms = [
    token,
    known,
    urllib.parse.quote(token),
    urllib.parse.quote(token, safe=""),
    urllib.parse.quote_plus(token),
    base64.b64encode(token.encode()).decode(),
    base64.b64encode(f"user:{token}".encode()).decode(),
    base64.urlsafe_b64encode(f"me:{token} and more".encode()).decode(),
]
everything = "\n".join(forms)
EMPTY = {"type": "object", "properties": {}}
TOOLS = [
    {"name": "dump", "description": f"Dumps. Uses {everything}", "inputSchema": EMPTY},
    {"name": "fail", "description": "Fails.", "inputSchema": EMPTY},
    {"name": "break", "description": "Breaks.", "inputSchema": EMPTY},
    {"name": token, "description": "Named so.", "inputSchema": EMPTY},
    {"name": "schema", "description": "Asks.", "inputSchema": {**EMPTY, "description": token}},
]


def answer(method, params):
    if method == "initialize":
        info = {"name": f"leaky {token}", "version": token}
        capabilities = {"tools": {}}
        about = f"Use {token}."
        version = params["protocolVersion"]
        return {"result": {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info, "instructions": about}}
    if method == "tools/list":
        return {"result": {"tools": TOOLS}}
    if method == "tools/call" and params["name"] == "break":
        return {"error": {"code": -32000, "message": f"broken: {everything}", "data": {"env": everything}}}
    if method == "tools/call":
        failed = params["name"] == "fail"
        return {"result": {"content": [{"type": "text", "text": everything}], "isError": failed}}
    return {"result": {}}


for line in sys.stdin:
    print(everything, file=sys.stderr, flush=True)
    request = json.loads(line)
    if "id" in request:
        said = answer(request.get("method"), request.get("params") or {})
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **said}), flush=True)
