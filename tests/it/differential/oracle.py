"""Answers questions about generated rooms with Synapse's own code: questions as JSON on stdin, answers on stdout."""

import json
import sys

from synapse import event_auth, visibility
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.events import make_event_from_dict
from synapse.types import get_domain_from_id

LEVEL_MAX = 2**63 - 1


class AnyClock:
    def time_msec(self):
        return 0


class NoRetention:
    max_lifetime = None


def made(version, **fields):
    """An event of the version, as far as the rules look at it."""
    event = {
        "room_id": "!r:hs",
        "event_id": "$e:hs",
        "origin_server_ts": 1,
        "auth_events": [],
        "prev_events": [],
        "depth": 1,
        "hashes": {"sha256": "x"},
        "signatures": {},
        "content": {},
        **fields,
    }
    if fields["type"] == "m.room.create" and version.msc4291_room_ids_as_hashes:
        del event["room_id"]
    if version.event_format != 1:
        del event["event_id"]
    return make_event_from_dict(event, version)


def state_of(version, case):
    create = made(version, type="m.room.create", state_key="", sender=case["creator"], content=case["create"])
    state = {("m.room.create", ""): create}
    if case["levels"] is not None:
        levels = made(version, type="m.room.power_levels", state_key="", sender=case["creator"], content=case["levels"])
        state[("m.room.power_levels", "")] = levels
    return state


def attempt(question):
    """What Synapse answers; null where it raises, so that it would answer nobody."""
    try:
        return question()
    except Exception:
        return None


def accepted(version, state):
    """Whether such power levels can be set at all."""
    event = state.get(("m.room.power_levels", ""))
    if event is None:
        return True
    without = {("m.room.create", ""): state[("m.room.create", "")]}
    try:
        event_auth._check_power_levels(version, event, without)
    except Exception:
        return False
    return True


def levels(case):
    version = KNOWN_ROOM_VERSIONS[case["version"]]
    state = state_of(version, case)
    level = lambda user: max(-LEVEL_MAX - 1, min(event_auth.get_user_power_level(user, state), LEVEL_MAX))
    redact = lambda: max(-LEVEL_MAX - 1, min(event_auth.get_named_level(state, "redact", 50), LEVEL_MAX))
    return {
        "accepted": accepted(version, state),
        "users": [attempt(lambda user=user: level(user)) for user in case["users"]],
        "redact": attempt(redact),
    }


def redaction(case):
    """Whether a redaction by one takes effect on an event of another: the authorisation, then the check on reading."""
    version = KNOWN_ROOM_VERSIONS[case["version"]]
    state = state_of(version, case)
    sender, author = case["sender"], case["author"]
    target = "$t:" + get_domain_from_id(author)
    fields = {"redacts": target} if not version.updated_redaction_rules else {"content": {"redacts": target}}
    fields["event_id"] = "$e:" + get_domain_from_id(sender)
    event = made(version, type="m.room.redaction", sender=sender, **fields)
    try:
        event_auth.check_redaction(version, event, state)
    except Exception:
        return False
    if event.internal_metadata.need_to_check_redaction():
        return get_domain_from_id(author) == get_domain_from_id(sender)
    return True


def target(case):
    version = KNOWN_ROOM_VERSIONS[case["version"]]
    redacts = made(version, type="m.room.redaction", sender="@a:hs", **case["fields"]).redacts
    return redacts if isinstance(redacts, str) else None


def readable(case):
    """Which of the events a user may see who is joined at the end, each with the state that it leads to."""
    version = KNOWN_ROOM_VERSIONS["10"]
    state, answers = {}, []
    for happened in case["events"]:
        event = made(version, sender="@host:hs", **happened)
        if event.is_state():
            key = (event.type, event.state_key)
            if key in state:
                event.unsigned["prev_content"] = state[key].content
            state = {**state, key: event}
        seen = visibility._check_client_allowed_to_see_event(
            user_id=case["user"],
            event=event,
            clock=AnyClock(),
            filter_send_to_client=True,
            is_peeking=False,
            always_include_ids=frozenset(),
            sender_ignored=False,
            retention_policy=NoRetention(),
            state=state,
            sender_erased=False,
        )
        answers.append(seen is not None)
    return answers


ASKED = {"levels": levels, "redactions": redaction, "targets": target, "readable": readable}

questions = json.load(sys.stdin)
json.dump({name: [ASKED[name](case) for case in cases] for name, cases in questions.items()}, sys.stdout)
