"""What a search over MCP costs in a large room (A13). How it is used stands in benches/README.md.

fill DATABASE ROOM COUNT [EVERY]   writes COUNT messages behind the newest of a plain room, straight into the SQLite database of a
                                   Synapse that is stopped; with Synapse's own Python, whose library makes the event ids.
                                   Every EVERY-th says "kingfisher".
ask URL TOKEN ROOM [PID]           asks `room_search` and `room_read`, first pages and the whole way back, and prints times
                                   and the resident memory of a process.
"""

import json
import re
import sqlite3
import statistics
import sys
import time
import urllib.request


def fill(database, room, count, every=1000):
    from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
    from synapse.events import make_event_from_dict

    db = sqlite3.connect(database)
    db.row_factory = sqlite3.Row
    template = db.execute(
        "SELECT * FROM events WHERE room_id = ? AND type = 'm.room.message' ORDER BY stream_ordering DESC LIMIT 1", (room,)
    ).fetchone()
    stored = db.execute("SELECT * FROM event_json WHERE event_id = ?", (template["event_id"],)).fetchone()
    group = db.execute(
        "SELECT state_group FROM event_to_state_groups WHERE event_id = ?", (template["event_id"],)
    ).fetchone()[0]
    version = KNOWN_ROOM_VERSIONS[db.execute("SELECT room_version FROM rooms WHERE room_id = ?", (room,)).fetchone()[0]]
    newest = db.execute(
        "SELECT event_id, topological_ordering FROM events WHERE room_id = ? AND NOT outlier "
        "ORDER BY topological_ordering DESC, stream_ordering DESC LIMIT 1", (room,)
    ).fetchone()
    stream = db.execute("SELECT max(stream_ordering) FROM events").fetchone()[0]
    previous, depth, now = newest["event_id"], newest["topological_ordering"], int(time.time() * 1000)
    event = json.loads(stored["json"])
    event.pop("unsigned", None)
    for number in range(count):
        depth, stream = depth + 1, stream + 1
        word = "kingfisher" if number % every == 0 else "heron"
        body = f"Message {number}: the {word} waits by the river, and somebody deploys build {number * 7919 % 100003}."
        at = now - (count - number) * 1000
        event.update(content={"msgtype": "m.text", "body": body}, depth=depth, prev_events=[previous], origin_server_ts=at)
        identity = make_event_from_dict(event, version).event_id
        row = dict(template) | dict(
            event_id=identity, topological_ordering=depth, depth=depth, stream_ordering=stream, origin_server_ts=at, received_ts=at
        )
        put(db, "events", row)
        put(db, "event_json", dict(stored) | dict(event_id=identity, json=json.dumps(event)))
        put(db, "event_to_state_groups", dict(event_id=identity, state_group=group))
        put(db, "event_edges", dict(event_id=identity, prev_event_id=previous, room_id=None, is_state=0))
        previous = identity
    db.execute("DELETE FROM event_forward_extremities WHERE room_id = ?", (room,))
    put(db, "event_forward_extremities", dict(event_id=previous, room_id=room))
    # Otherwise Synapse would deliver all of them.
    db.execute("UPDATE appservice_stream_position SET stream_ordering = ?", (stream,))
    db.commit()


def put(db, table, row):
    columns = ", ".join(row)
    db.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def call(url, token, tool, arguments):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    began = time.monotonic()
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        answer = json.load(answer)
    text = answer["result"]["content"][0]["text"]
    return (time.monotonic() - began) * 1000, answer["result"].get("isError", False), text


def resident(pid):
    if not pid:
        return "?"
    with open(f"/proc/{pid}/status") as status:
        return re.search(r"VmRSS:\s+(\d+)", status.read()).group(1) + " kB"


def ask(url, token, room, pid=None):
    print("resident at first:", resident(pid))
    for tool, arguments in [
        ("room_search", {"room": room, "text": "kingfisher"}),
        ("room_search", {"room": room, "text": "nowhere"}),
        ("room_read", {"room": room}),
        ("rooms", {}),
    ]:
        times = []
        for _ in range(15):
            ms, is_error, text = call(url, token, tool, arguments)
            assert not is_error, text
            times.append(ms)
        head = json.loads(text.splitlines()[0])
        times.sort()
        print(f"{tool} {arguments.get('text', '')}: median {statistics.median(times):.0f} ms, worst {times[-1]:.0f} ms, "
              f"{head['here']} found, back to {head.get('looked_back_to')}")
    print("resident behind them:", resident(pid))
    arguments, calls, found, began = {"room": room, "text": "kingfisher"}, 0, 0, time.monotonic()
    while True:
        ms, is_error, text = call(url, token, "room_search", arguments)
        if is_error and "Wait" in text:
            time.sleep(int(re.search(r"Wait (\d+)", text).group(1)))
            continue
        assert not is_error, text
        head = json.loads(text.splitlines()[0])
        calls, found = calls + 1, found + head["here"]
        if "next" not in head:
            break
        arguments["cursor"] = head["next"]
    print(f"the whole room: {calls} calls, {time.monotonic() - began:.1f} s, {found} found; resident {resident(pid)}")


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    if mode == "fill":
        fill(rest[0], rest[1], *map(int, rest[2:]))
    else:
        ask(*rest)
