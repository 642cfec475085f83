"""The pods of overlays/cpu-demo-two-pods as processes of this machine: two ranks without a launcher, over gloo, with certificates."""

import json
import signal
import subprocess

import pytest

from manifests import container, of_kind, only, overlay, pod_templates
from pod_processes import PodProcesses, free_port
from ranks_cluster import BIN, eventually

NAME = "cpu-demo-two-pods"


class TwoPods(PodProcesses):
    """The coordinator's pod and the pods of ranks. Each pod has a name of its own for the others; here all are on loopback."""

    def __init__(self, folder):
        super().__init__(folder)
        pods = {where.partition("/")[0]: pod for where, _, pod in pod_templates(overlay(NAME))}
        self.coordinator_container = container(pods["Deployment"], "coordinator")
        self.rank_container = only(pods["LeaderWorkerSet"]["containers"])
        assert self.rank_container["args"][2:] == ["--first-port", "7001"]
        self.size = only(of_kind(overlay(NAME), "LeaderWorkerSet"))["spec"]["leaderWorkerTemplate"]["size"]
        self.cluster, self.tls = f"127.0.0.1:{free_port()}", str(folder / "tls")
        subprocess.run([BIN / "deeprack", "certs", "make", self.tls], check=True, capture_output=True)

    def start_coordinator_pod(self):
        self.start_coordinator(self.coordinator_container, DEEPRACK_CLUSTER_ADDRESS=self.cluster, DEEPRACK_CLUSTER_TLS=self.tls)

    def start_rank(self):
        """A pod of one rank; on this machine each takes a port of its own."""
        one = {**self.rank_container, "args": [*self.rank_container["args"][:3], str(free_port())]}
        return self.start(one, DEEPRACK_COORDINATOR=self.cluster, DEEPRACK_CLUSTER_TLS=self.tls)


@pytest.fixture(scope="module")
def pods(tmp_path_factory):
    with TwoPods(tmp_path_factory.mktemp("pods")) as running:
        running.start_coordinator_pod()
        running.ranks = [running.start_rank() for _ in range(running.size)]
        running.wait_until_ready()
        yield running


def test_two_ranks_serve_over_gloo(pods):
    assert len(pods.ranks) == 2
    asked = {"messages": [{"role": "user", "content": "What is 4821 + 977?"}], "temperature": 0, "max_tokens": 400}
    status, text = pods.get("/v1/chat/completions", asked)
    assert status == 200 and "5798" in json.loads(text)["choices"][0]["message"]["content"], text
    assert "over gloo" in pods.read_log()


def test_a_pod_that_ends_comes_back(pods):
    """Kubernetes starts a new pod; the other rank keeps its weights."""
    gone = pods.ranks[0]
    gone.send_signal(signal.SIGTERM)
    assert gone.wait(timeout=30) == 0
    assert eventually(lambda: pods.get("/ready")[0] == 503, 30)
    pods.ranks[0] = pods.start_rank()
    assert eventually(lambda: pods.get("/ready")[0] == 200, 60), pods.read_log()
    assert "keeps its weights" in pods.read_log()


def test_a_coordinator_that_is_replaced_finds_the_ranks_with_their_weights(pods):
    pods.coordinator.send_signal(signal.SIGTERM)
    assert pods.coordinator.wait(timeout=60) == 0, pods.read_log()
    pods.start_coordinator_pod()
    assert eventually(lambda: pods.get("/ready")[0] == 200, 60), pods.read_log()
    assert "has ended with" not in pods.read_log(), "deeprack-run-ranks had to start a rank again"


def test_all_end_when_they_are_told(pods):
    pods.coordinator.send_signal(signal.SIGTERM)
    assert pods.coordinator.wait(timeout=60) == 0, pods.read_log()
    for rank in pods.ranks:
        rank.send_signal(signal.SIGTERM)
        assert rank.wait(timeout=30) == 0, pods.read_log()
