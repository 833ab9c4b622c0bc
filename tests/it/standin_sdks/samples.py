"""Collects every sample of the API's answers that the Python SDK's published source ships, with what the SDK makes of it.

Usage: samples.py DIRECTORY, where the source distribution lies unpacked. Prints one JSON list: of each sample its name, its
kind ("stream" or "message"), its body, and a summary of the SDK's own message; null where the SDK raises.
"""

import json
import pathlib
import sys

import anthropic
import httpx2


def summary(message):
    """What both sides must agree on, whatever else a newer SDK knows."""
    raw = message if isinstance(message, dict) else message.to_dict()
    usage = raw.get("usage") or {}
    blocks = raw.get("content") or []
    return {
        "id": raw["id"],
        "model": raw["model"],
        "stop_reason": raw.get("stop_reason"),
        "category": (raw.get("stop_details") or {}).get("category"),
        "kinds": [block["type"] for block in blocks],
        "texts": [block["text"] for block in blocks if block["type"] == "text"],
        "citations": [len(block.get("citations") or []) for block in blocks if block["type"] == "text"],
        "inputs": [block["input"] for block in blocks if block["type"] in ("tool_use", "server_tool_use")],
        "container": (raw.get("container") or {}).get("id"),
        "usage": [
            usage.get(name)
            for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        ],
    }


def accumulated(body):
    """Feeds a stream to the SDK as its own tests do."""
    headers = {"content-type": "text/event-stream"}
    answer = lambda _: httpx2.Response(200, headers=headers, content=body.encode())
    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(api_key="sk", base_url="http://sample", http_client=transport, max_retries=0)
    try:
        messages = [{"role": "user", "content": "x"}]
        with client.beta.messages.stream(model="m", max_tokens=1, messages=messages) as stream:
            return summary(stream.get_final_message())
    except Exception as error:  # noqa: BLE001 - whatever it is, the SDK does not take the sample
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return None


def recorded(path):
    """Reads a recording of real calls: requests with the answers that the API gave."""
    calls = json.loads(path.read_text())
    for number, call in enumerate(calls):
        body, status = call["response"]["body"], call["response"]["status_code"]
        name = f"{path.name}#{number}"
        if isinstance(body, str) and body.startswith("event: "):
            yield {"name": name, "kind": "stream", "body": body, "sdk": accumulated(body)}
        elif isinstance(body, dict) and body.get("type") == "message":
            yield {"name": name, "kind": "message", "body": json.dumps(body), "sdk": summary(body)}
        elif isinstance(body, dict) and body.get("type") == "error":
            yield {"name": name, "kind": "error", "status": status, "body": json.dumps(body), "sdk": None}


def main():
    tests = pathlib.Path(sys.argv[1]) / "tests"
    samples = []
    for path in sorted(tests.rglob("*")):
        if path.suffix in (".sse", ".txt") and path.is_file():
            body = path.read_text()
            if "event: message_start" in body:
                samples.append({"name": path.name, "kind": "stream", "body": body, "sdk": accumulated(body)})
        elif path.suffix == ".json" and "__inline_snapshot__" in path.parts:
            samples.extend(recorded(path))
    print(json.dumps(samples))


main()
