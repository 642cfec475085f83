"""`deeprack serve` with ranks on another machine, over the network with the cluster's certificates."""

import json
import os
import re
import subprocess
import sys

import pytest

from ranks_cluster import BIN, eventually
from machines import TwoMachines
from serve_command import Serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

GET = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
QUESTION = "What is 4821 + 977?"


@pytest.fixture
def machines():
    two = TwoMachines()
    yield two
    two.close()


def serve(machines, *flags):
    """Sends a GET request from the head machine."""
    return Serve(*flags, "--cluster-address", f"{machines.head.address}:0", prefix=machines.head.command(), env=machines.environment)


def ask(machines, url):
    answer = subprocess.run(machines.head.command(BIN / "deeprack", "chat", "--url", url), input=QUESTION + "\n", text=True,
                            capture_output=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def state(machines, url):
    got = subprocess.run(machines.head.command(sys.executable, "-c", GET, url + "/ready"), capture_output=True, text=True)
    return json.loads(got.stdout or "{}").get("state", "gone")


def test_hosts_starts_ranks_on_both(machines):
    hosts = f"{machines.head.address}:1,{machines.other.address}:1"
    with serve(machines, "--tp", 2, "--hosts", hosts, "--cluster-tls", machines.tls) as server:
        assert machines.other.programs().count("deeprack-worker") == 1
        assert machines.head.programs().count("deeprack-worker") == 1
        assert "5798" in ask(machines, server.url)
    assert server.exit_code == 0, server.read_log()
    assert eventually(lambda: machines.other.programs() == [], 10), machines.other.programs()


def test_a_pulled_cable_is_noticed_and_named(machines):
    hosts = f"{machines.head.address}:1,{machines.other.address}:1"
    with serve(machines, "--tp", 2, "--hosts", hosts, "--cluster-tls", machines.tls, "--recovery-timeout", 0) as server:
        machines.pull_the_cable()
        assert eventually(lambda: server.process.poll() is not None or state(machines, server.url) == "failed", 20)
        assert eventually(lambda: server.process.poll() is not None, 30), "serve goes on without its ranks"
    assert server.exit_code == 69, server.read_log()
    assert re.search(r"rank 1 \(pid \d+ on \S+\) was lost: no heartbeat", server.read_log()), server.read_log()


def test_a_cable_that_is_plugged_in_again(machines):
    hosts = f"{machines.head.address}:1,{machines.other.address}:1"
    with serve(machines, "--tp", 2, "--hosts", hosts, "--cluster-tls", machines.tls) as server:
        machines.pull_the_cable()
        assert eventually(lambda: state(machines, server.url) == "recovering", 10), server.read_log()
        machines.plug_it_in_again()
        assert eventually(lambda: state(machines, server.url) == "ready", 60), server.read_log()
        assert "5798" in ask(machines, server.url)
        assert machines.other.programs().count("deeprack-worker") == 1
        assert machines.head.programs().count("deeprack-worker") == 1
    assert server.exit_code == 0, server.read_log()


def test_a_worker_started_by_hand_elsewhere_joins(machines):
    server = serve(machines, "--workers", "external", "--cluster-tls", machines.tls)
    try:
        told = eventually(lambda: re.search(r"start each with\n\s+deeprack-worker (.*)", server.read_log()))
        assert told, server.read_log()
        command = machines.other.command(BIN / "deeprack-worker", *told.group(1).split(), "--threads", "1")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as worker:
            with server:
                assert machines.head.programs().count("deeprack-worker") == 0
                assert "5798" in ask(machines, server.url)
            assert worker.wait(timeout=30) == 0, worker.stderr.read()
    finally:
        server.__exit__()
    assert server.exit_code == 0, server.read_log()


def test_without_certificates_nothing_opens_to_the_network(machines):
    hosts = f"{machines.head.address}:1,{machines.other.address}:1"
    command = machines.head.command(BIN / "deeprack", "serve", "--tp", "2", "--hosts", hosts,
                                    "--cluster-address", f"{machines.head.address}:0", "--port", "0")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 78
    assert "--cluster-tls" in ended.stderr and machines.head.address in ended.stderr
