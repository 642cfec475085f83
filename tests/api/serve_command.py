"""Runs `deeprack serve` as a user does: starts one process, reads one address, ends it with one signal."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

from processes import text_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", ROOT / "build" / "bin"))
START_SECONDS = 120


class Serve:
    """A context manager with a running `deeprack serve`. Without MODEL it serves the demo model."""

    def __init__(self, *arguments, prefix=(), env=None, bin=BIN):
        """`prefix` comes before the command line. `env` replaces the environment. `bin` is the folder of the programs."""
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*prefix, str(bin / "deeprack"), "serve", *map(str, arguments), "--port", "0"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env)
        self.url = None

    def read_log(self):
        return text_of(self.log)

    def __enter__(self):
        deadline = time.monotonic() + START_SECONDS
        while self.url is None:
            ready = re.search(r"ready on (http://\S+)", self.read_log())
            if ready:
                self.url = ready.group(1)
            elif self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(self.read_log())
            else:
                time.sleep(0.02)
        return self

    def __exit__(self, *_):
        """Ends `deeprack serve` with SIGINT, as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.exit_code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)


def run(*arguments, **options):
    """Runs `deeprack ARGUMENTS` until it ends."""
    return subprocess.run([str(BIN / "deeprack"), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, **options)
