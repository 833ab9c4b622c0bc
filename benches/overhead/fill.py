"""fill.py DATABASE ROOM COUNT EVERY: makes a room long.

Writes COUNT messages behind the newest of a plain room, straight into the SQLite database of a Synapse that is stopped;
with Synapse's own Python, whose library makes the event ids. Every EVERY-th says "kingfisher".
"""

import json
import sqlite3
import sys
import time


def fill(database, room, count, every):
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
    # Otherwise Synapse would go through all of them at its start, and answer nothing meanwhile.
    for behind in (
        "appservice_stream_position SET stream_ordering = ?",
        "federation_stream_position SET stream_id = ? WHERE type = 'events'",
        "stats_incremental_position SET stream_id = ?",
        "user_directory_stream_pos SET stream_id = ?",
    ):
        db.execute(f"UPDATE {behind}", (stream,))
    # As a server that has run for a while has it: without statistics, SQLite walks through the whole table for a page.
    db.execute("ANALYZE")
    db.commit()


def put(db, table, row):
    columns = ", ".join(row)
    db.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


if __name__ == "__main__":
    fill(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
