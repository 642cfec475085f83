"""Containers of the manifests as processes of this machine: their commands and variables, with the image's paths replaced by the
repository's."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from processes import text_of  # noqa: E402
from ranks_cluster import BIN, eventually  # noqa: E402

from manifests import ROOT, environment  # noqa: E402


def in_the_repository(value):
    """A path of the image -> the same file in the repository."""
    return value.replace("/usr/local/share/deeprack/demo", str(ROOT / "demo")).replace("/etc/deeprack/configs", str(ROOT / "configs"))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class PodProcesses:
    """A context manager: at its end all processes are killed. `folder` is an empty folder for the log and the image's script."""

    def __init__(self, folder):
        (folder / "deeprack-run-ranks").symlink_to(ROOT / "deploy/image/run-ranks")
        self.path = f"{folder}:{BIN}:{os.environ['PATH']}"
        self.log = open(folder / "log", "w+")
        self.processes = []

    def start(self, one, stdout=subprocess.DEVNULL, **replaced):
        """Starts a container. `replaced`: other values for some of its variables."""
        values = {variable: in_the_repository(value) for variable, value in environment(one).items()}
        assert set(replaced) <= set(values)
        process = subprocess.Popen([*one["command"], *one.get("args", [])], env={"PATH": self.path, **values, **replaced},
                                   stdin=subprocess.DEVNULL, stdout=stdout, stderr=self.log, start_new_session=True)
        self.processes.append(process)
        return process

    def start_coordinator(self, one, **replaced):
        self.coordinator = self.start(one, stdout=subprocess.PIPE, DEEPRACK_HOST="127.0.0.1", DEEPRACK_PORT="0", **replaced)
        self.url = f"http://127.0.0.1:{json.loads(self.coordinator.stdout.readline() or '{}').get('http')}"

    def get(self, path, body=None):
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def read_log(self):
        return text_of(self.log)

    def wait_until_ready(self, seconds=120):
        def ready():
            assert self.coordinator.poll() is None, self.read_log()
            return self.get("/ready")[0] == 200

        assert eventually(ready, seconds), self.read_log()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all processes of the container have ended
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.log.close()
