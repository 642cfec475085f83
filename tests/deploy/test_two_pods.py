"""The pods of overlays/cpu-demo-two-pods as processes of this machine: two ranks without a launcher, over gloo, with certificates."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from ranks_cluster import eventually  # noqa: E402

from manifests import ROOT, container, of_kind, only, overlay, pod_templates  # noqa: E402
from test_served_demo import Pod, free_port  # noqa: E402

NAME = "cpu-demo-two-pods"


class TwoPods(Pod):
    """The coordinator's pod and the pods of ranks. Each pod has a name of its own for the others; here all are on loopback."""

    def __init__(self, folder, programs):
        pods = {where.partition("/")[0]: pod for where, _, pod in pod_templates(overlay(NAME))}
        (folder / "deeprack-run-ranks").symlink_to(ROOT / "deploy/image/run-ranks")
        self.path = f"{folder}:{programs}:{os.environ['PATH']}"
        self.log = open(folder / "log", "w+")
        self.tls = str(folder / "tls")
        subprocess.run([programs / "deeprack", "certs", "make", self.tls], check=True, capture_output=True)
        self.cluster = f"127.0.0.1:{free_port()}"
        self.coordinator_container = container(pods["Deployment"], "coordinator")
        self.start_coordinator()
        self.rank = only(pods["LeaderWorkerSet"]["containers"])
        assert self.rank["args"][2:] == ["--first-port", "7001"]
        size = only(of_kind(overlay(NAME), "LeaderWorkerSet"))["spec"]["leaderWorkerTemplate"]["size"]
        self.ranks = [self.start_rank() for _ in range(size)]

    def start_coordinator(self):
        self.coordinator = self.start(self.coordinator_container, stdout=subprocess.PIPE, DEEPRACK_CLUSTER_ADDRESS=self.cluster,
                                      DEEPRACK_CLUSTER_TLS=self.tls, DEEPRACK_HOST="127.0.0.1", DEEPRACK_PORT="0")
        self.url = f"http://127.0.0.1:{json.loads(self.coordinator.stdout.readline() or '{}').get('http')}"

    def start_rank(self):
        """A pod of one rank; on this machine each takes a port of its own."""
        return self.start({**self.rank, "args": [*self.rank["args"][:3], str(free_port())]}, DEEPRACK_COORDINATOR=self.cluster,
                          DEEPRACK_CLUSTER_TLS=self.tls)

    def kill(self):
        for process in (self.coordinator, *self.ranks):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.coordinator.stdout.close()
        self.log.close()


@pytest.fixture(scope="module")
def pods(tmp_path_factory):
    programs = pathlib.Path(os.environ.get("DEEPRACK_BIN", ROOT / "build" / "bin"))
    running = TwoPods(tmp_path_factory.mktemp("pods"), programs)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


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
    pods.coordinator.stdout.close()
    pods.start_coordinator()
    assert eventually(lambda: pods.get("/ready")[0] == 200, 60), pods.read_log()
    assert "has ended with" not in pods.read_log(), "deeprack-run-ranks had to start a rank again"


def test_all_end_when_they_are_told(pods):
    pods.coordinator.send_signal(signal.SIGTERM)
    assert pods.coordinator.wait(timeout=60) == 0, pods.read_log()
    for rank in pods.ranks:
        rank.send_signal(signal.SIGTERM)
        assert rank.wait(timeout=30) == 0, pods.read_log()
