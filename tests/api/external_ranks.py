"""Ranks that no launcher starts: the test starts and kills each of them itself."""

import re
import subprocess

from ranks_cluster import BIN, eventually
from serve_command import Serve


class ExternalRanks:
    """A context manager with `deeprack serve --workers external` and `count` workers. `workers` are their processes."""

    def __init__(self, count, *flags):
        self.count, self.workers = count, []
        self.server = Serve("--workers", "external", *flags)
        told = eventually(lambda: re.search(r"start each with\n\s+deeprack-worker (.*)", self.server.read_log()))
        assert told, self.server.read_log()
        # Two ranks on one machine do not know each other, and would be bound to the same processors.
        self.command = [str(BIN / "deeprack-worker"), *told.group(1).split(), "--threads", "1", "--no-bind-threads"]

    def prefix(self, number):
        """What comes before the command line of worker `number`."""
        return []

    def start(self, number):
        return subprocess.Popen([*self.prefix(number), *self.command], stdin=subprocess.DEVNULL, stdout=self.server.log,
                                stderr=self.server.log)

    def start_worker(self):
        self.workers.append(self.start(len(self.workers)))

    def kill_worker(self):
        """Kills the worker that was started last."""
        self.workers[-1].kill()
        self.workers.pop().wait()

    def __enter__(self):
        for _ in range(self.count):
            self.start_worker()
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        self.exit_codes = [worker.wait(timeout=30) for worker in self.workers]
