"""An MCP server over stdio for the bench: `echo` answers at once and notes when; `hang` never answers, nor
does `flood`, which talks on, as much as Workmate lets a server talk for any length of time."""

import json
import sys
import threading
import time

NOTE = {"type": "object", "properties": {"n": {"type": "integer"}}}
# Just below what makes Workmate break a server off: 2 000 messages or 64 MiB in ten seconds.
FLOOD_PER_SECOND = 140
FLOOD_BYTES = 40_000
lock = threading.Lock()
flooding = threading.Event()


def say(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def answer(request):
    say({"id": request["id"], "result": {"content": [{"type": "text", "text": "done"}]}})
    with open(sys.argv[1], "a") as times:
        times.write(f"{time.time_ns()}\n")


def flood():
    while True:
        say({"method": "notifications/message", "params": {"level": "info", "data": "x" * FLOOD_BYTES}})
        time.sleep(1 / FLOOD_PER_SECOND)


for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "initialize":
        info = {"name": "bench", "version": "1"}
        version = request["params"]["protocolVersion"]
        say({"id": request["id"], "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        names = ("read", "write", "hang", "flood")
        tools = [{"name": name, "description": f"Does {name}.", "inputSchema": NOTE} for name in names]
        say({"id": request["id"], "result": {"tools": tools}})
    elif method == "tools/call":
        name = request["params"]["name"]
        if name in ("read", "write"):
            answer(request)
        elif name == "flood" and not flooding.is_set():
            flooding.set()
            threading.Thread(target=flood, daemon=True).start()
    elif "id" in request:
        say({"id": request["id"], "result": {}})
