"""A real cluster on this machine for the tests of the API: the coordinator, and worker ranks under mpirun.

DEEPRACK_BIN names the folder of the programs (default: build/bin), DEEPRACK_MODEL the model (default: demo/model).
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import openai

from processes import text_of, workers_under

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", ROOT / "build" / "bin"))
MODEL = os.environ.get("DEEPRACK_MODEL", str(ROOT / "demo" / "model"))
START_SECONDS = 120


def eventually(condition, seconds=30):
    """Waits until condition() is true. Returns the last value of condition()."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.01)


class Cluster:
    """A coordinator and its workers. `ranks` is tp. All ports are on loopback; the system chooses them."""

    def __init__(self, ranks=2, *flags, start_workers=True, model=MODEL):
        self.log = tempfile.TemporaryFile()
        self.processes = []
        self.coordinator = self._start(
            [BIN / "deeprack-coordinator", model, "--port", "0", "--tp", str(ranks), "--worker-timeout", "60", *flags],
            stdout=subprocess.PIPE)
        line = self.coordinator.stdout.readline()
        assert line, self.read_log()
        ports = json.loads(line)
        self.port = ports["http"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ranks, self.cluster_port, self.workers = ranks, ports["cluster"], None
        if start_workers:
            self.start_workers()

    def start_workers(self):
        worker = [BIN / "deeprack-worker", "--coordinator", f"127.0.0.1:{self.cluster_port}", "--threads", "1"]
        mpirun = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(self.ranks)]
        if os.geteuid() == 0:
            mpirun.append("--allow-run-as-root")
        self.workers = self._start(mpirun + worker)

    def _start(self, command, stdout=None):
        # A session of its own, so that all processes that mpirun starts end with it.
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                   stdout=stdout or self.log, stderr=self.log, start_new_session=True)
        self.processes.append(process)
        return process

    def read_log(self):
        return text_of(self.log)

    def wait_until_ready(self):
        def ready():
            assert self.coordinator.poll() is None, self.read_log()
            return self.get("/ready")[0] == 200

        assert eventually(ready, START_SECONDS), self.read_log()
        return self

    def request(self, path, body=None):
        """Status, headers and text of one request. `body` is bytes, or a value to send as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def get(self, path):
        status, _, text = self.request(path)
        return status, text

    def post(self, path, body):
        status, _, text = self.request(path, body)
        return status, json.loads(text)

    def metric(self, name, **labels):
        """The value of the metric with these labels. None: no such metric."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    def is_idle(self):
        return self.metric("vllm:num_requests_running") == 0 and self.metric("vllm:num_requests_waiting") == 0

    def client(self):
        return openai.OpenAI(base_url=self.url + "/v1", api_key="none", max_retries=0, timeout=60)

    def connect(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def worker_pids(self):
        """The ranks: descendants of mpirun that run deeprack-worker."""
        return workers_under(self.workers.pid)

    def stop(self):
        """Asks the coordinator to end and returns its exit code."""
        if self.coordinator.poll() is None:
            self.coordinator.send_signal(signal.SIGTERM)
        code = self.coordinator.wait(timeout=60)
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.coordinator.stdout.close()
        return code


def request_bytes(path, body):
    """The bytes of a POST request, for tests that write to a socket."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data
