"""Runs Synapse as larger sites do: on PostgreSQL with Redis, a main process and two workers.

    python workers.py homeserver.yaml

It stands in the place of the one process and listens on the same port, where every call goes to another of them as far
as workers take it. One worker writes the events, the other one tells the application services. It ends, and they with
it, when nobody holds our standard input open any more. Needs PostgreSQL, redis-server, and psycopg2 and Synapse's extra
`redis` in this Python.
"""

import ctypes
import glob
import io
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from twisted.internet import reactor
from twisted.web import resource, server
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

READY_SECONDS_MAX = 80
PR_SET_PDEATHSIG = 1
HOP_HEADERS = {b"connection", b"content-length", b"host", b"keep-alive", b"transfer-encoding"}
# What workers take without being the writer of a stream (Synapse's documentation, "Available worker applications").
BY_WORKERS = re.compile(
    r"^/_matrix/client/(r0|v1|v3|unstable)/(sync$|joined_rooms$|createRoom$|join/|account/whoami$|keys/(query|changes)$"
    r"|rooms/[^/]+/(messages|context|members|joined_members|state|send|redact|join|leave|invite|kick|ban|event|relations)\b)"
)

children = []
postgres_dir = None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, log, account=None):
    """Starts a program that ends with us, as another account where that is told."""

    def before_it_runs():
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT if account else signal.SIGKILL)

    with open(log, "ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=before_it_runs
        )
    children.append(child)
    return child


def until_open(port, what):
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{what} does not listen on port {port}")


def program(name):
    """Finds a program of PostgreSQL, which Debian keeps out of the path."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    return found or sys.exit(f"{name}: not found; install PostgreSQL")


def start_postgres(logs):
    """Starts a database of our own, in memory as far as that is possible; returns its port."""
    global postgres_dir
    # PostgreSQL refuses to run as root.
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    postgres_dir = tempfile.mkdtemp(prefix="workmate-tests-postgres-")
    if account is not None:
        os.chown(postgres_dir, account.pw_uid, account.pw_gid)
    data, log, port = f"{postgres_dir}/data", logs / "postgres.log", free_port()
    make = [program("initdb"), "-D", data, "-U", "synapse", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    if start(make, log, account).wait() != 0:
        sys.exit(f"initdb failed: {log.read_text()}")
    settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "shared_buffers": "32MB", "max_connections": "100"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    start([program("postgres"), "-D", data, "-p", str(port), "-k", postgres_dir, *options], log, account)
    until_open(port, "PostgreSQL")
    address = ["-h", "127.0.0.1", "-p", str(port), "-U", "synapse"]
    deadline = time.monotonic() + READY_SECONDS_MAX
    while subprocess.run([program("createdb"), *address, "synapse"], capture_output=True).returncode != 0:
        if time.monotonic() > deadline:
            sys.exit(f"the database cannot be made: {log.read_text()}")
        time.sleep(0.1)
    return port


def listeners(client_port, replication_port):
    of = lambda port, names: {  # noqa: E731
        "port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": False,
        "resources": [{"names": names, "compress": False}],
    }
    return [of(client_port, ["client"]), of(replication_port, ["replication"])]


def start_synapse(config, directory, postgres, redis):
    """Starts the main process and the workers; returns the ports that take clients' calls, the main process's first."""
    names = ["main", "writer", "teller"]
    clients, replication = [free_port() for _ in names], [free_port() for _ in names]
    config["listeners"] = listeners(clients[0], replication[0])
    config["database"] = {
        "name": "psycopg2",
        "args": {"user": "synapse", "host": "127.0.0.1", "port": postgres, "dbname": "synapse", "cp_min": 1, "cp_max": 5},
    }
    config["redis"] = {"enabled": True, "host": "127.0.0.1", "port": redis}
    config["worker_replication_secret"] = "secret-of-the-tests"
    config["instance_map"] = {name: {"host": "127.0.0.1", "port": port} for name, port in zip(names, replication)}
    config["stream_writers"] = {"events": ["writer"]}
    config["notify_appservices_from_worker"] = "teller"
    shared = directory / "homeserver-of-workers.yaml"
    shared.write_text(json.dumps(config))
    start([sys.executable, "-m", "synapse.app.homeserver", "-c", shared], directory / "main.log")
    until_open(clients[0], "Synapse's main process")
    for name, client, replicated in zip(names[1:], clients[1:], replication[1:]):
        own = directory / f"{name}.yaml"
        worker = {
            "worker_app": "synapse.app.generic_worker", "worker_name": name,
            "worker_listeners": listeners(client, replicated), "worker_log_config": config["log_config"],
        }
        own.write_text(json.dumps(worker))
        command = [sys.executable, "-m", "synapse.app.generic_worker", "-c", shared, "-c", own]
        start(command, directory / f"{name}.log")
    for name, client in zip(names[1:], clients[1:]):
        until_open(client, f"the worker {name}")
    return clients


class Router(resource.Resource):
    """Gives every call to another process, as far as workers take it."""

    isLeaf = True

    def __init__(self, ports):
        super().__init__()
        self.ports = ports
        self.turn = 0
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = 64
        self.agent = Agent(reactor, pool=pool)

    def port(self, path):
        if not BY_WORKERS.match(path):
            return self.ports[0]
        self.turn += 1
        return self.ports[self.turn % len(self.ports)]

    def render(self, request):
        body = request.content.read()
        port = self.port(request.uri.decode().split("?")[0])
        headers = Headers()
        for name, values in request.requestHeaders.getAllRawHeaders():
            if name.lower() not in HOP_HEADERS:
                headers.setRawHeaders(name, values)
        producer = FileBodyProducer(io.BytesIO(body)) if body else None
        url = b"http://127.0.0.1:%d%s" % (port, request.uri)
        gone = []
        request.notifyFinish().addErrback(gone.append)

        def answered(response):
            def read(content):
                if gone:
                    return
                request.setResponseCode(response.code)
                for name, values in response.headers.getAllRawHeaders():
                    if name.lower() not in HOP_HEADERS:
                        request.responseHeaders.setRawHeaders(name, values)
                request.setHeader(b"content-length", b"%d" % len(content))
                request.write(content)
                request.finish()

            return readBody(response).addCallback(read)

        def failed(failure):
            if not gone and not request.finished:
                request.setResponseCode(502)
                request.finish()

        self.agent.request(request.method, url, headers, producer).addCallback(answered).addErrback(failed)
        return server.NOT_DONE_YET


def end():
    for child in reversed(children):
        if child.poll() is None:
            child.send_signal(signal.SIGQUIT if "postgres" in str(child.args[0]) else signal.SIGTERM)
    for child in children:
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
    if postgres_dir is not None:
        shutil.rmtree(postgres_dir, ignore_errors=True)
    os._exit(0)


def end_with_parent():
    while os.read(0, 4096):
        pass
    end()


def main():
    threading.Thread(target=end_with_parent, daemon=True).start()
    path = pathlib.Path(sys.argv[1])
    config = json.loads(path.read_text())
    redis = free_port()
    quiet = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    start([shutil.which("redis-server") or sys.exit("redis-server: not found"), "--port", str(redis), *quiet],
          path.parent / "redis.log")
    postgres = start_postgres(path.parent)
    until_open(redis, "Redis")
    port = config["listeners"][0]["port"]
    router = server.Site(Router(start_synapse(config, path.parent, postgres, redis)))
    reactor.listenTCP(port, router, interface="127.0.0.1", backlog=200)
    reactor.run()


main()
