"""Runs a command for as long as somebody holds our standard input open, then asks it to stop.

See homeserver/supervised.py: no child is ever left behind.
"""

import os
import subprocess
import sys
import threading

STOP_SECONDS_MAX = 20

child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)


def stop_with_parent() -> None:
    while os.read(0, 4096):
        pass
    child.terminate()
    try:
        child.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()


threading.Thread(target=stop_with_parent, daemon=True).start()
sys.exit(child.wait())
