"""An MCP server over stdio for the tests: what was done stands in `done.txt`, and a file named `go` lets calls end."""

import json
import pathlib
import sys
import threading
import time

folder = pathlib.Path(sys.argv[1])
lock = threading.Lock()
met = threading.Barrier(2)
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}


def do(text):
    with lock, open(folder / "done.txt", "a") as done:
        done.write(text + "\n")


def call(name, arguments):
    text = str(arguments.get("text", ""))
    if name == "note":
        do(text)
        return "noted: " + text
    if name == "slow":
        do(text)
        while not (folder / "go").exists():
            time.sleep(0.02)
        return "noted slowly: " + text
    if name == "meet":
        met.wait(20)
        return "met: " + text
    raise RuntimeError("the probe fails")


def say(message):
    with lock:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(request):
    name, arguments = request["params"]["name"], request["params"].get("arguments") or {}
    try:
        text, failed = call(name, arguments), False
    except Exception as error:  # a tool's failure is a result
        text, failed = str(error), True
    say({"id": request["id"], "result": {"content": [{"type": "text", "text": text}], "isError": failed}})


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        method = request.get("method")
        if method == "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "probe", "version": "1"}
            capabilities = {"tools": {}}
            say({"id": request["id"], "result": {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}})
        elif method == "tools/list":
            tools = [{"name": name, "description": f"Does {name}.", "inputSchema": TEXT} for name in ("note", "slow", "meet", "fail")]
            say({"id": request["id"], "result": {"tools": tools}})
        elif method == "tools/call":
            threading.Thread(target=answer, args=(request,), daemon=True).start()
        elif "id" in request:
            say({"id": request["id"], "result": {}})


serve()
