"""Runs Synapse for as long as somebody holds our standard input open.

The process that started us keeps the other end of the pipe. When it ends, however it ends, the pipe closes
and Synapse stops; no homeserver is ever left behind.
"""

import os
import signal
import sys
import threading
import time

STOP_SECONDS_MAX = 5


def stop_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS_MAX)
    os._exit(1)


threading.Thread(target=stop_with_parent, daemon=True).start()
sys.argv = ["synapse", "-c", sys.argv[1]]

from synapse.app.homeserver import main  # noqa: E402  (after the watch has begun: the import takes a second)

main()
