"""What breaks in a rack while clients read: no stream loses a token, and no token of an epoch that is over arrives."""

import os
import signal
import threading

import pytest

from clusters import OverGloo
from rack import Rack
from ranks_cluster import eventually
from slow_cable import SlowCable
from test_recovery import body, metric, ready, run_streams

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

REQUESTS = [body(index, max_tokens=150) for index in range(4)]
NOTICED_SECONDS = 10
SERVING_SECONDS = 30


@pytest.fixture(scope="module")
def rack():
    two = Rack(2)
    yield two
    two.close()


@pytest.fixture(scope="module")
def served(rack):
    """A cluster of tp2 over gloo, one rank on each host, and what its streams say when nothing breaks."""
    with rack.head.entered():
        ranks = OverGloo(rack, "--tp", 2)
        with ranks as server:
            yield ranks, run_streams(server, REQUESTS)
    assert server.exit_code == 0, server.read_log()


class RestartAlways:
    """Ranks that end are started again at once."""

    def __init__(self, ranks):
        self.ranks, self.ended = ranks, threading.Event()

    def __enter__(self):
        def watch():
            with self.ranks.rack.head.entered():
                while not self.ended.wait(0.1):
                    self.ranks.start_ended_workers()

        self.thread = threading.Thread(target=watch)
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def streams_over(served, break_it, mend_it):
    """The texts of streams over a fault, after which the cluster serves again."""
    ranks, undisturbed = served
    server = ranks.server
    recoveries = metric(server, "deeprack:recoveries_total")

    def disturb(_):
        break_it()
        try:
            assert eventually(lambda: ready(server)["state"] == "recovering", NOTICED_SECONDS), "not noticed"
        finally:
            mend_it()
        assert eventually(lambda: ready(server)["ready"] and metric(server, "deeprack:recoveries_total") > recoveries,
                          SERVING_SECONDS), server.read_log()

    with RestartAlways(ranks):
        assert run_streams(server, REQUESTS, disturb) == undisturbed
    assert metric(server, "vllm:num_requests_running") == 0
    assert metric(server, "vllm:kv_cache_usage_perc") == 0


@pytest.mark.parametrize("cut", ["cut", "drop_from", "drop_to"])
def test_a_host_that_the_network_parts_from_the_others(rack, served, cut):
    streams_over(served, lambda: getattr(rack, cut)(rack.hosts[1]), rack.mend)


def test_a_killed_rank(rack, served):
    streams_over(served, lambda: os.kill(rack.hosts[1].workers()[0], signal.SIGKILL), lambda: None)


def test_a_stopped_rank(rack, served):
    stopped = rack.hosts[1].workers()[0]
    streams_over(served, lambda: os.kill(stopped, signal.SIGSTOP), lambda: os.kill(stopped, signal.SIGCONT))


def test_lost_frames_and_a_slow_cable_lose_no_rank(rack, served):
    ranks, undisturbed = served
    losses = metric(ranks.server, "deeprack:losses_total")
    rack.throttle(rack.hosts[1], 5)
    rack.lose_frames(2)
    try:
        assert run_streams(ranks.server, REQUESTS) == undisturbed
    finally:
        rack.mend()
        rack.throttle(rack.hosts[1], 10000)
    assert metric(ranks.server, "deeprack:losses_total") == losses


def test_a_cable_that_is_slow_in_one_direction_loses_no_rank(rack, served):
    """A frame takes more than ten times as long as otherwise."""
    ranks, undisturbed = served
    losses = metric(ranks.server, "deeprack:losses_total")
    with SlowCable(rack, rack.hosts[1], 0.001) as cable:
        assert run_streams(ranks.server, REQUESTS) == undisturbed
    assert cable.forwarded["delayed"] > 1000 and cable.forwarded["at once"] > 1000, cable.forwarded
    assert metric(ranks.server, "deeprack:losses_total") == losses
