"""A rank dies; a coordinator is asked to end."""
import json
import os
import signal
import subprocess

import pytest

from ranks_cluster import BIN, MODEL, Cluster, eventually, request_bytes

STREAM = request_bytes("/v1/completions", {"prompt": "1 + 2", "stream": True, "ignore_eos": True, "max_tokens": 1500})


def read_all(connection):
    """Reads the rest of a stream, until the last chunk or the end of the connection."""
    text = b""
    while not text.endswith(b"\r\n0\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            break
        text += piece
    return text.decode()


def run_coordinator(*flags):
    return subprocess.run([str(BIN / "deeprack-coordinator"), MODEL, *flags], capture_output=True, text=True, timeout=60)


def events(text):
    return [line[len("data: "):] for line in text.splitlines() if line.startswith("data: ")]


@pytest.fixture
def fragile_cluster():
    """A cluster without recovery."""
    running = Cluster(2, "--recovery-timeout", "0").wait_until_ready()
    yield running
    running.stop()


def test_without_recovery_a_killed_worker_ends_streams_with_one_error(fragile_cluster):
    with fragile_cluster.connect() as connection:
        connection.sendall(STREAM)
        begun = connection.recv(65536).decode()
        pids = fragile_cluster.worker_pids()
        assert len(pids) == 2
        os.kill(pids[1], signal.SIGKILL)
        assert eventually(lambda: fragile_cluster.get("/ready")[0] == 503, 5)
        ready = json.loads(fragile_cluster.get("/ready")[1])
        assert ready["state"] == "failed" and "rank" in ready["message"], ready
        told = events(begun + read_all(connection))
    assert "rank" in json.loads(told[-1])["error"]["message"]
    assert sum('"error"' in event for event in told) == 1 and "[DONE]" not in told
    status, reply = fragile_cluster.post("/v1/completions", {"prompt": "1"})
    assert status == 503 and "rank" in reply["error"]["message"]
    assert "rank" in fragile_cluster.read_log()
    assert fragile_cluster.stop() == 0


def test_ranks_launched_again_take_the_streams_up(own_cluster):
    """Without `deeprack serve`, the user who ran mpirun must run it again."""
    with own_cluster.connect() as connection:
        connection.sendall(STREAM)
        begun = connection.recv(65536).decode()
        os.kill(own_cluster.worker_pids()[0], signal.SIGKILL)
        assert eventually(lambda: json.loads(own_cluster.get("/ready")[1])["missing_ranks"] == [0, 1], 5)
        own_cluster.workers.wait(timeout=30)
        own_cluster.start_workers()
        told = events(begun + read_all(connection))
    assert told[-1] == "[DONE]" and not any('"error"' in event for event in told)
    assert own_cluster.get("/ready")[0] == 200
    assert own_cluster.stop() == 0
    assert own_cluster.workers.returncode == 0, own_cluster.read_log()


def test_one_signal_drains_and_a_second_ends_streams_and_workers(own_cluster):
    with own_cluster.connect() as connection:
        connection.sendall(STREAM)
        begun = connection.recv(65536).decode()
        own_cluster.coordinator.send_signal(signal.SIGTERM)
        assert eventually(lambda: json.loads(own_cluster.get("/ready")[1])["state"] == "draining", 5)
        assert own_cluster.get("/ready")[0] == 503 and own_cluster.get("/health")[0] == 200
        status, headers, text = own_cluster.request("/v1/completions", {"prompt": "1"})
        assert status == 503 and int(headers["Retry-After"]) > 0 and headers["Connection"] == "close"
        assert json.loads(text)["error"]["code"] == "not_ready"
        begun += connection.recv(65536).decode()
        own_cluster.coordinator.send_signal(signal.SIGTERM)
        told = events(begun + read_all(connection))
    assert "stopping" in json.loads(told[-1])["error"]["message"]
    assert own_cluster.stop() == 0
    assert own_cluster.workers.returncode == 0, own_cluster.read_log()
    assert "1 + 2" not in own_cluster.read_log()


def test_progress_is_shown_before_the_workers_come():
    lonely = Cluster(2, start_workers=False)
    try:
        status, text = lonely.get("/ready")
        ready = json.loads(text)
        assert status == 503 and ready["state"] == "waiting_for_workers"
        assert (ready["workers_joined"], ready["workers_expected"]) == (0, 2)
        assert lonely.get("/health")[0] == 200
        assert lonely.post("/v1/completions", {"prompt": "1"})[0] == 503
        second = run_coordinator("--port", str(lonely.port), "--tp", "2")
        assert second.returncode == 69 and str(lonely.port) in second.stderr
    finally:
        assert lonely.stop() == 0


def test_workers_that_never_come():
    few = run_coordinator("--port", "0", "--tp", "2", "--worker-timeout", "0.2")
    assert few.returncode == 69 and "0 of 2 workers" in few.stderr
