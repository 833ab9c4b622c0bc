"""Sends a webhook as the PyPI package standardwebhooks signs it; prints the statuses of three calls: good, a byte off, late."""

import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from standardwebhooks.webhooks import Webhook

url, secret, title = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(name, body, signed, at):
    headers = {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, signed),
    }
    request = urllib.request.Request(url, body.encode(), headers, method="POST")
    try:
        return opener.open(request).status
    except urllib.error.HTTPError as refused:
        return refused.code


body = json.dumps({"type": "order.paid", "title": title, "data": {"id": "ord_1"}})
now = datetime.now(timezone.utc)
print(
    json.dumps(
        [
            call("msg_good", body, body, now),
            call("msg_good", body, body, now),
            call("msg_other", body + " ", body, now),
            call("msg_late", body, body, now - timedelta(minutes=6)),
        ]
    )
)
