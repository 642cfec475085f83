"""A coordinator dies or ends, and another one at the same ports finds the workers with their weights."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from external_ranks import ExternalRanks
from processes import processes_under, text_of, workers_under
from ranks_cluster import BIN, MODEL, eventually
from serve_command import Serve
from test_recovery import Stream, body, ready

ASKED = {"prompt": "What is 2 + 3?", "max_tokens": 40, "temperature": 0, "ignore_eos": True}


def coordinator_of(server):
    """The process id of the coordinator that `deeprack serve` has started."""
    for pid in processes_under(server.process.pid):
        with open(f"/proc/{pid}/comm") as comm:
            if comm.read().strip() == "deeprack-coordinator"[:15]:
                return pid
    return None


class BrokenStream(Stream):
    """A stream whose connection breaks."""

    def run(self):
        try:
            super().run()
        except (OSError, http.client.HTTPException) as error:
            self.broken = error

    broken = None


def kill_the_coordinator(server):
    """Kills it while a client reads. Returns the seconds until the next one is ready."""
    stream = BrokenStream(server, body(1, max_tokens=1500))
    assert eventually(lambda: stream.events > 3)
    killed = coordinator_of(server)
    os.kill(killed, signal.SIGKILL)
    begin = time.monotonic()
    stream.join(10)
    assert not stream.is_alive() and stream.ends == 0, "the client of a dead coordinator learns it from its connection"

    def serves_again():
        try:
            return coordinator_of(server) != killed and ready(server)["ready"]
        except OSError:  # nobody listens yet
            return False

    assert eventually(serves_again, 60), server.read_log()
    return time.monotonic() - begin


def test_a_lone_rank_keeps_its_weights_when_its_coordinator_is_killed():
    with Serve("--threads", 1, "--log-level", "info") as server:
        before = server.post("/v1/completions", ASKED)["choices"]
        workers = workers_under(server.process.pid)
        print(f"ready {kill_the_coordinator(server):.2f} s after the kill")
        assert server.post("/v1/completions", ASKED)["choices"] == before
        assert workers_under(server.process.pid) == workers
        log = server.read_log()
        assert re.search(r"the coordinator \(pid \d+\) has ended: signal 9 \(Killed\).*; starting it again", log), log
        assert "rank 0 keeps its weights for epoch 2" in log, log
        assert eventually(lambda: "serving again" in server.read_log(), 5)
    assert server.exit_code == 0, server.read_log()


def test_ranks_over_gloo_keep_their_weights_when_their_coordinator_is_killed():
    with ExternalRanks(2, "--tp", 2) as ranks:
        server = ranks.server
        before = server.post("/v1/completions", ASKED)["choices"]
        print(f"ready {kill_the_coordinator(server):.2f} s after the kill")
        assert server.post("/v1/completions", ASKED)["choices"] == before
        assert [worker.poll() for worker in ranks.workers] == [None, None]
        log = server.read_log()
        assert all(f"rank {rank} keeps its weights for epoch 2" in log for rank in (0, 1)), log
        # A rank that is lost under the second coordinator comes back as it does under the first one.
        ranks.kill_worker()
        assert eventually(lambda: ready(server)["state"] == "recovering", 5)
        ranks.start_worker()
        assert eventually(lambda: ready(server)["ready"], 60), server.read_log()
        assert server.post("/v1/completions", ASKED)["choices"] == before
    assert server.exit_code == 0, server.read_log()
    assert ranks.exit_codes == [0, 0]


class ByHand:
    """A context manager with a coordinator of tp 2 and two workers, each started by itself. It begins when they are ready.
    A second coordinator gets the ports of the first one.

    `flags`: of the first coordinator. `workers`: the flags of each worker. `log`: a file that all of them write to."""

    def __init__(self, *flags, workers=((), ()), log=None):
        self.flags, self.flags_of_workers = flags, workers
        self.log = log or tempfile.TemporaryFile()
        self.ports, self.coordinator, self.workers = {"http": 0, "cluster": 0}, None, []

    def start_coordinator(self, *flags):
        self.coordinator = subprocess.Popen(
            [str(BIN / "deeprack-coordinator"), MODEL, "--tp", "2", "--port", str(self.ports["http"]), "--cluster-address",
             f"127.0.0.1:{self.ports['cluster']}", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        self.ports = json.loads(self.coordinator.stdout.readline())
        self.url = f"http://127.0.0.1:{self.ports['http']}"

    def start_worker(self, *flags):
        self.workers.append(subprocess.Popen(
            [str(BIN / "deeprack-worker"), "--coordinator", f"127.0.0.1:{self.ports['cluster']}", "--threads", "1",
             "--no-bind-threads", *flags], stdin=subprocess.DEVNULL, stderr=self.log))

    def wait_until_ready(self, seconds=60):
        assert eventually(lambda: ready(self)["ready"], seconds), self.read_log()

    def stop_coordinator(self):
        self.coordinator.send_signal(signal.SIGTERM)
        assert self.coordinator.wait(60) == 0
        self.coordinator.stdout.close()

    def kill_coordinator(self):
        self.coordinator.kill()
        self.coordinator.wait()
        self.coordinator.stdout.close()

    def exit_codes(self, seconds=30):
        """Waits for all workers to end."""
        return [worker.wait(seconds) for worker in self.workers]

    def read_log(self):
        return text_of(self.log)

    def __enter__(self):
        try:
            self.start_coordinator(*self.flags)
            for flags in self.flags_of_workers:
                self.start_worker(*flags)
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self.coordinator, *self.workers):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.coordinator.stdout.close()
        self.log.close()


def test_a_coordinator_that_ends_in_order_may_leave_its_workers():
    with ByHand("--no-stop-workers", "--drain-seconds", "0") as cluster:
        stream = Stream(cluster, body(1, max_tokens=1500))
        assert eventually(lambda: stream.events > 3)
        cluster.stop_coordinator()
        assert "stopping" in stream.result()[3]["message"], "one clear error ends the stream"
        cluster.start_coordinator()
        cluster.wait_until_ready()
        assert [worker.poll() for worker in cluster.workers] == [None, None]
        assert all(f"rank {rank} keeps its weights for epoch 2" in cluster.read_log() for rank in (0, 1)), cluster.read_log()
        cluster.stop_coordinator()  # this one stops its workers
        assert cluster.exit_codes() == [0, 0], cluster.read_log()


def test_weights_of_other_options_are_loaded_again():
    with ByHand() as cluster:
        cluster.kill_coordinator()
        cluster.start_coordinator("--compute", "f32")
        cluster.wait_until_ready()
        assert "keeps its weights" not in cluster.read_log() and "epoch 2" in cluster.read_log(), cluster.read_log()
        cluster.stop_coordinator()
        assert cluster.exit_codes() == [0, 0], cluster.read_log()


def test_workers_notice_a_stopped_coordinator_and_serve_when_it_goes_on():
    with ByHand() as cluster:
        stream = Stream(cluster, body(1))
        undisturbed = stream.result()
        stream = Stream(cluster, body(1))
        assert eventually(lambda: stream.events > 3)
        cluster.coordinator.send_signal(signal.SIGSTOP)
        try:
            noticed = f"the coordinator at 127.0.0.1:{cluster.ports['cluster']} went away"
            assert eventually(lambda: cluster.read_log().count(noticed) == 2, 10), cluster.read_log()
        finally:
            cluster.coordinator.send_signal(signal.SIGCONT)
        assert stream.result() == undisturbed
        cluster.wait_until_ready(30)
        assert cluster.read_log().count("keeps its weights") >= 2, cluster.read_log()
        cluster.stop_coordinator()
        assert cluster.exit_codes() == [0, 0], cluster.read_log()


def test_a_worker_ends_when_no_coordinator_comes_back():
    with ByHand(workers=[("--coordinator-wait", "0.5"), ("--coordinator-wait", "0")]) as cluster:
        cluster.kill_coordinator()
        assert cluster.exit_codes() == [69, 69], cluster.read_log()
        assert "none came back within 500ms (--coordinator-wait)" in cluster.read_log()


def test_a_worker_that_waits_ends_at_a_signal():
    with ByHand() as cluster:
        cluster.kill_coordinator()
        assert eventually(lambda: cluster.read_log().count("waits up to 10m for a coordinator") == 2, 10), cluster.read_log()
        for worker in cluster.workers:
            worker.terminate()
        assert cluster.exit_codes(5) == [0, 0], cluster.read_log()
