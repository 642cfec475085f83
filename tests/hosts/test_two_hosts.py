"""`deeprack serve` on one host with ranks on another: cables that are pulled, and the cluster's certificates."""

import os
import re
import subprocess

import pytest

from clusters import OverGloo, over_mpi
from rack import BIN, Rack
from ranks_cluster import eventually
from test_recovery import ready

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

QUESTION = "What is 4821 + 977?"


@pytest.fixture
def rack():
    """Two hosts. The test runs on the head."""
    two = Rack(2)
    try:
        with two.head.entered():
            yield two
    finally:
        two.close()


def ask(server):
    answer = subprocess.run([BIN / "deeprack", "chat", "--url", server.url], input=QUESTION + "\n", text=True, capture_output=True,
                            timeout=120)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def state(server):
    try:
        return ready(server)["state"]
    except OSError:  # nobody listens any more
        return "gone"


def test_hosts_starts_ranks_on_both(rack):
    with over_mpi(rack, "--tp", 2) as server:
        assert [len(host.workers()) for host in rack.hosts] == [1, 1]
        assert "5798" in ask(server)
    assert server.exit_code == 0, server.read_log()
    other = rack.hosts[1]
    assert eventually(lambda: not other.processes(), 10), other.processes()


def test_a_pulled_cable_is_noticed_and_named(rack):
    with over_mpi(rack, "--tp", 2, "--recovery-timeout", 0) as server:
        rack.pull_the_cable(rack.hosts[1])
        assert eventually(lambda: server.process.poll() is not None or state(server) == "failed", 20)
        assert eventually(lambda: server.process.poll() is not None, 30), "serve goes on without its ranks"
    assert server.exit_code == 69, server.read_log()
    assert re.search(r"rank 1 \(pid \d+ on \S+\) was lost: no heartbeat", server.read_log()), server.read_log()


def test_a_cable_that_is_plugged_in_again(rack):
    with over_mpi(rack, "--tp", 2) as server:
        rack.pull_the_cable(rack.hosts[1])
        assert eventually(lambda: state(server) == "recovering", 10), server.read_log()
        rack.plug_in_the_cable(rack.hosts[1])
        assert eventually(lambda: state(server) == "ready", 60), server.read_log()
        assert "5798" in ask(server)
        assert [len(host.workers()) for host in rack.hosts] == [1, 1]
    assert server.exit_code == 0, server.read_log()


def test_a_worker_started_by_hand_elsewhere_joins(rack):
    ranks = OverGloo(rack, hosts=rack.hosts[1:])
    with ranks as server:
        assert [len(host.workers()) for host in rack.hosts] == [0, 1]
        assert "5798" in ask(server)
    assert server.exit_code == 0, server.read_log()
    assert ranks.exit_codes == [0], server.read_log()


def test_without_certificates_nothing_opens_to_the_network(rack):
    hosts = ",".join(f"{host.address}:1" for host in rack.hosts)
    ended = subprocess.run([BIN / "deeprack", "serve", "--tp", "2", "--hosts", hosts, "--cluster-address", f"{rack.head.address}:0",
                            "--port", "0"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 78
    assert "--cluster-tls" in ended.stderr and rack.head.address in ended.stderr
