"""A rank that is slow makes the others wait. It stays, and is named."""

import os
import re
import signal
import threading
import urllib.request

from external_ranks import ExternalRanks
from ranks_cluster import eventually
from test_recovery import metric, ready


class Slow(threading.Thread):
    """Lets a process run for 5 ms, then stops it for `stopped` seconds, until the end of the `with` block. By default it runs for
    a tenth of the time."""

    def __init__(self, pid, stopped=0.045):
        super().__init__(daemon=True)
        self.pid, self.stopped, self.ended = pid, stopped, threading.Event()

    def run(self):
        while not self.ended.is_set():
            os.kill(self.pid, signal.SIGSTOP)
            self.ended.wait(self.stopped)
            os.kill(self.pid, signal.SIGCONT)
            self.ended.wait(0.005)

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def seconds_late(server):
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found = re.findall(r'^deeprack:rank_late_seconds_total\{([^}]*)\} (\S+)', text, re.M)
    assert all('host="' in labels for labels, _ in found)
    return {int(re.search(r'rank="(\d+)"', labels).group(1)): float(value) for labels, value in found}


def test_a_rank_at_a_tenth_of_the_speed_stays_and_is_named():
    """The coordinator names it after ten seconds of steps. Prompts are computed, so that ranks compute more than they exchange."""
    with ExternalRanks(2, "--tp", 2) as ranks:
        server = ranks.server
        assert ready(server)["slow_ranks"] == []
        asked = 0

        def named():
            nonlocal asked
            asked += 1
            prompts = [" ".join(str(asked + 7 * number * index) for number in range(250)) for index in range(1, 5)]
            server.post("/v1/completions", {"prompt": prompts, "max_tokens": 1})
            return ready(server)["slow_ranks"]

        with Slow(ranks.workers[0].pid):
            slow = eventually(named, 90)
        late = seconds_late(server)
        assert len(slow) == 1, (late, server.read_log())
        assert slow[0]["host"] and 1 / 3 < slow[0]["share"] <= 1
        rank = slow[0]["rank"]
        assert late[rank] > 10 / 3 and late[rank] > 5 * late[1 - rank], late
        log = server.read_log()
        assert re.search(rf"rank {rank} on \S+ makes the other ranks wait for \d+% of the time of steps", log), log
        assert metric(server, "deeprack:losses_total") == 0
    assert server.exit_code == 0, server.read_log()
