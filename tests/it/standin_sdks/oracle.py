"""Asks the stand-in through Anthropic's Python SDK and judges every event and message by its types, strictly.

Usage: oracle.py BASE_URL KEY. Prints one JSON object; any disagreement raises.
"""

import json
import sys

import anthropic
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

MODEL = "claude-opus-5-5"
TOOL = {
    "name": "look",
    "description": "Looks somewhere.",
    "input_schema": {"type": "object", "properties": {"where": {"type": "string"}}},
}
EVENT = TypeAdapter(RawMessageStreamEvent)
MESSAGE = TypeAdapter(Message)
NULLABLE = ("container", "diagnostics", "stop_details", "stop_reason", "stop_sequence")
USAGE = (
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "inference_geo",
    "input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "speed",
)


def check_message(raw):
    """The types miss nullable fields that are absent, so those are looked for by name."""
    MESSAGE.validate_json(json.dumps(raw), strict=True)
    absent = [name for name in NULLABLE if name not in raw] + [name for name in USAGE if name not in raw["usage"]]
    assert not absent, absent


def raw_events(client, request):
    """Reads a stream's frames without the SDK's lenient models."""
    with client.messages.with_streaming_response.create(**request, stream=True) as response:
        for line in response.iter_lines():
            line = line.rstrip("\r")
            if line.startswith("data: "):
                yield json.loads(line[len("data: ") :])


def request_for(messages, **more):
    return {"model": MODEL, "max_tokens": 1024, "messages": messages, **more}


def scene(client, name, check_raw=False, messages=None, **more):
    """Asks once streamed and once whole; returns the whole one. Raw events go through the strict types."""
    request = request_for(messages or [{"role": "user", "content": f"scene:{name}"}], **more)
    if check_raw:
        for event in raw_events(client, request):
            if event["type"] == "ping":
                continue
            EVENT.validate_json(json.dumps(event), strict=True)
            if event["type"] == "message_start":
                check_message(event["message"])
    else:
        with client.messages.stream(**request) as stream:
            streamed = stream.get_final_message()
    raw = client.messages.with_raw_response.create(**request)
    check_message(json.loads(raw.text()))
    whole = raw.parse()
    assert raw.headers["request-id"].startswith("req_"), raw.headers
    if not check_raw:
        texts = [[b.text for b in m.content if b.type == "text"] for m in (streamed, whole)]
        assert texts[0] == texts[1], texts
        assert streamed.stop_reason == whole.stop_reason
    return whole


def failure(call):
    try:
        call()
    except anthropic.APIStatusError as error:
        assert error.body["request_id"] == error.request_id, error.body
        return type(error).__name__
    raise AssertionError("an error was expected")


def main():
    base_url, key = sys.argv[1:3]
    client = anthropic.Anthropic(base_url=base_url, api_key=key)
    ask = lambda text: client.messages.create(**request_for([{"role": "user", "content": text}]))
    report = {"text": scene(client, "text", check_raw=True).content[0].text}

    called = scene(client, "tool-call", check_raw=True, tools=[TOOL])
    calls = [block for block in called.content if block.type == "tool_use"]
    report["tool_inputs"] = [block.input for block in calls]
    report["tool_stop"] = called.stop_reason
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "green"} for call in calls]
    followed = [
        {"role": "user", "content": "scene:tool-call"},
        called.to_param(),
        {"role": "user", "content": results + [{"type": "text", "text": "scene:tool-result"}]},
    ]
    report["after_tools"] = scene(client, "tool-result", messages=followed, tools=[TOOL]).content[0].text

    report["search"] = [block.type for block in scene(client, "search", check_raw=True).content]
    refused = scene(client, "refusal", check_raw=True)
    report["refusal"] = {"stop_reason": refused.stop_reason, "category": refused.stop_details.category}
    report["cut"] = scene(client, "cut").content[0].text
    report["fetch"] = [block.type for block in scene(client, "fetch", check_raw=True).content]
    report["empty"] = scene(client, "empty", check_raw=True).stop_reason
    report["stop_sequence"] = scene(client, "stop", check_raw=True, stop_sequences=["END"]).stop_sequence
    report["bytes"] = scene(client, "bytes").content[0].text

    report["retried"] = ask("scene:retry").content[0].text
    report["limit_error"] = failure(lambda: ask("scene:limit"))
    report["bad_request"] = failure(lambda: client.messages.create(**request_for([{"role": "assistant", "content": "x"}])))
    stranger = anthropic.Anthropic(base_url=base_url, api_key="wrong")
    report["unauthorized"] = failure(lambda: stranger.models.list())
    counted = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "how long?"}])
    report["counted"] = counted.input_tokens > 0
    report["model"] = client.models.retrieve(MODEL).display_name
    report["models_listed"] = MODEL in [model.id for model in client.models.list(limit=5)]
    for model in client.models.list():
        TypeAdapter(anthropic.types.ModelInfo).validate_json(model.model_dump_json(), strict=True)
    print(json.dumps(report))


main()
