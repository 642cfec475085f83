"""A host at a fortieth of the speed: its rank is drained, and a worker that waits takes its place."""

import os
import re

import pytest

from clusters import OverGloo
from rack import Rack
from ranks_cluster import eventually
from test_ranks_one_by_one import formed
from test_recovery import body, metric, ready, run_streams
from test_slow_rank import Slow

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

REQUESTS = [body(1, max_tokens=200)]
# Three workers form the second layout, and one of them waits. Long parts of prompts beside the stream make ranks compute more
# than they exchange.
FLAGS = ("--layouts", "tp4,tp2", "--worker-timeout", 3, "--slow-rank-timeout", 5, "--slow-rank-cooldown", 1000,
         "--prefill-tokens-beside-decodes", 2048, "--log-level", "info")


@pytest.fixture
def rack():
    """Three hosts. The test runs on the head."""
    three = Rack(3)
    try:
        with three.head.entered():
            yield three
    finally:
        three.close()


def process_of_rank(log, rank):
    """The process of a rank of the first epoch: the workers' pids are in the log, and the one without a rank is told."""
    joined = [int(pid) for pid in re.findall(r"worker joined from \S+ \(pid (\d+)", log)]
    waits = int(re.search(r"without a rank: pid (\d+)", log).group(1))
    return [pid for pid in joined if pid != waits][rank]


def test_a_slow_hosts_rank_is_drained(rack):
    with OverGloo(rack, *FLAGS) as server:
        undisturbed = run_streams(server, REQUESTS)
        slow = process_of_rank(server.read_log(), 1)
        asked = 0

        def drained():
            # Prompts make ranks compute more than they exchange.
            nonlocal asked
            asked += 1
            prompts = [" ".join(str(asked + 7 * number * index) for number in range(250)) for index in range(1, 5)]
            server.post("/v1/completions", {"prompt": prompts, "max_tokens": 1})
            return len(formed(server.read_log())) == 2

        def disturb(_):
            with Slow(slow, stopped=0.195):
                assert eventually(drained, 90), server.read_log()
                assert eventually(lambda: ready(server)["ready"], 30), server.read_log()
                server.post("/v1/completions", body(2, max_tokens=8))  # while the drained worker is still slow

        assert run_streams(server, REQUESTS, disturb) == undisturbed
        log = server.read_log()
        assert formed(log) == ["tp=2 dp=1", "tp=2 dp=1"]
        assert re.search(r"epoch \d+ is over: slow for 5 seconds \(--slow-rank-timeout\): rank \d \(\d+% of the time of steps\)", log), log
        assert re.search(rf"drained for 16m40s: rank \d \(pid {slow} on", log), log
        assert metric(server, "deeprack:losses_total") == 0
        assert len([pid for host in rack.hosts for pid in host.workers()]) == 3, "the drained worker stays attached"
    assert server.exit_code == 0, server.read_log()
