"""An MCP server whose only tool looks at the picture in a file."""

import base64
import json
import pathlib
import sys

picture = base64.b64encode(pathlib.Path(sys.argv[1]).read_bytes()).decode()
SCHEMA = {"type": "object", "properties": {}}


def answer(method, params):
    if method == "initialize":
        info = {"name": "camera", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": "look", "description": "Looks at the yard.", "inputSchema": SCHEMA}]}
    if method == "tools/call":
        image = {"type": "image", "data": picture, "mimeType": "image/png"}
        return {"content": [{"type": "text", "text": "The yard, now:"}, image]}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        result = answer(request.get("method"), request.get("params") or {})
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
