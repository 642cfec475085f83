"""Ranks die while clients read. The streams pause and continue with the same tokens as without the loss."""

import json
import os
import pathlib
import re
import signal
import socket
import threading
import urllib.error
import urllib.request

import pytest

from external_ranks import ExternalRanks
from ranks_cluster import eventually, request_bytes
from processes import workers_under
from serve_command import Serve

TOKENS = 300


def body(index, **more):
    """Greedy requests and sampled requests."""
    return {"prompt": f"What is {index} + 2?", "max_tokens": TOKENS, "ignore_eos": True, "seed": index,
            "temperature": 0 if index % 2 else 0.8, **more}


def ready(server):
    try:
        with urllib.request.urlopen(server.url + "/ready", timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)


def metric(server, name):
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
    return float(re.search(rf"^{name}{{[^}}]*}} (\S+)", text, re.M).group(1))


class Stream(threading.Thread):
    """Reads one streamed completion until its end."""

    def __init__(self, server, request):
        super().__init__(daemon=True)
        self.request = urllib.request.Request(server.url + "/v1/completions", json.dumps(
            {**request, "stream": True, "stream_options": {"include_usage": True}}).encode(),
            {"Content-Type": "application/json"})
        self.text, self.logprobs, self.usage, self.events, self.error, self.ends = "", [], None, 0, None, 0
        self.start()

    def run(self):
        with urllib.request.urlopen(self.request, timeout=120) as reply:
            for line in reply:
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(b"data: [DONE]"):
                    self.ends += 1
                    continue
                event = json.loads(line[len("data: "):])
                self.events += 1
                self.error = event.get("error", self.error)
                self.ends += "error" in event
                self.usage = event.get("usage") or self.usage
                for choice in event.get("choices", []):
                    self.text += choice["text"]
                    if choice.get("logprobs"):
                        self.logprobs += choice["logprobs"]["token_logprobs"]

    def result(self):
        self.join(120)
        assert not self.is_alive(), "the stream does not end"
        assert self.ends == 1, "exactly one last event"
        return self.text, self.logprobs, self.usage, self.error


def run_streams(server, requests, disturb=None):
    """Sends all `requests` at once and returns their results. Calls disturb(streams) when all streams have begun."""
    streams = [Stream(server, request) for request in requests]
    if disturb:
        assert eventually(lambda: all(stream.events > 3 for stream in streams), 30)
        disturb(streams)
    return [stream.result() for stream in streams]


def kill_one(server):
    os.kill(workers_under(server.process.pid)[-1], signal.SIGKILL)


def wait_until_serving_again(server, recoveries):
    """What coordinator and `deeprack serve` report about the loss."""
    assert eventually(lambda: metric(server, "deeprack:recoveries_total") >= recoveries and ready(server)["ready"], 60), \
        server.read_log()
    assert eventually(lambda: server.read_log().count("serving again") == recoveries, 10), server.read_log()


@pytest.mark.parametrize("drafts", [0, 2])
def test_streams_go_on_after_a_rank_is_killed_twice(drafts):
    requests = [body(index) for index in range(5)] + [body(5, logprobs=2)]
    with Serve("--tp", 2, "--threads", 1, "--speculative-tokens", drafts) as server:
        undisturbed = run_streams(server, requests)
        assert all(len(text) > TOKENS / 4 and error is None for text, _, _, error in undisturbed)

        def disturb(streams):
            assert ready(server)["state"] == "ready"
            kill_one(server)
            assert eventually(lambda: ready(server)["state"] == "recovering", 5), "not noticed"
            state = ready(server)
            assert "was lost" in state["message"] and not state["ready"]
            with urllib.request.urlopen(server.url + "/health", timeout=10) as reply:
                assert reply.status == 200
            with pytest.raises(urllib.error.HTTPError) as refused:
                server.post("/v1/completions", {"prompt": "1"})
            assert refused.value.code == 503 and int(refused.value.headers["Retry-After"]) > 0
            wait_until_serving_again(server, 1)
            assert any(stream.is_alive() for stream in streams), "too late for a replay of a replay"
            kill_one(server)
            wait_until_serving_again(server, 2)

        disturbed = run_streams(server, requests, disturb)
        for before, after in zip(undisturbed, disturbed):
            assert after[3] is None, after[3]
            assert after[0] == before[0]
            assert after[1] == before[1]
            assert after[2]["completion_tokens"] == before[2]["completion_tokens"] == TOKENS
        assert metric(server, "deeprack:losses_total") == 2
        assert metric(server, "deeprack:recovery_seconds_total") > 0
        assert metric(server, "vllm:num_requests_running") == 0
        assert metric(server, "vllm:kv_cache_usage_perc") == 0
    assert server.exit_code == 0, server.read_log()
    assert server.read_log().count("starting them again") == 2


def launcher_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.parametrize("end", [
    lambda ranks: os.kill(ranks[0], signal.SIGTERM),  # the rank tells the coordinator that it ends
    lambda ranks: os.kill(ranks[1], signal.SIGSTOP),  # the rank is silent, and learns that it was lost when mpirun continues it
    lambda ranks: os.kill(launcher_of(ranks[0]), signal.SIGKILL),
], ids=["asked to end", "stopped", "the launcher killed"])
def test_other_ends_of_ranks(end):
    requests = [body(index) for index in range(3)]
    with Serve("--tp", 2, "--threads", 1) as server:
        undisturbed = run_streams(server, requests)

        def disturb(_):
            end(workers_under(server.process.pid))
            assert eventually(lambda: ready(server)["state"] == "recovering", 10)
            wait_until_serving_again(server, 1)

        assert run_streams(server, requests, disturb) == undisturbed
        assert len(workers_under(server.process.pid)) == 2
    assert server.exit_code == 0, server.read_log()


def test_ranks_that_die_again_and_again_end_serving():
    with Serve("--tp", 2, "--threads", 1) as server:
        for loss in range(1, 7):
            kill_one(server)
            if loss < 6:
                wait_until_serving_again(server, loss)
        assert eventually(lambda: server.process.poll() is not None, 30), server.read_log()
    assert server.exit_code == 69, server.read_log()
    assert "gave up: the ranks failed 6 times in a row" in server.read_log()


def test_without_recovery_the_first_loss_ends_serving():
    with Serve("--tp", 2, "--threads", 1, "--recovery-timeout", 0) as server:
        stream = Stream(server, body(1, max_tokens=1500))
        assert eventually(lambda: stream.events > 3)
        kill_one(server)
        assert "was lost" in stream.result()[3]["message"]
        assert eventually(lambda: server.process.poll() is not None, 30), "serve goes on without its ranks"
    assert server.exit_code == 69, server.read_log()
    assert re.search(r"rank 1 \(pid \d+ on \S+\) was lost", server.read_log())


def test_a_client_that_hangs_up_meanwhile_is_forgotten():
    with ExternalRanks(1) as external:
        server = external.server
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(request_bytes("/v1/completions", body(1, stream=True, max_tokens=1500)))
            assert connection.recv(65536)
            external.kill_worker()
            assert eventually(lambda: ready(server)["state"] == "recovering", 5)
        assert eventually(lambda: metric(server, "vllm:num_requests_waiting") == 0, 5), "it waits, though its client has left"
        assert ready(server)["state"] == "recovering"
        external.start_worker()
        assert eventually(lambda: ready(server)["ready"], 60), server.read_log()
        assert metric(server, "vllm:num_requests_running") == 0
        assert server.post("/v1/completions", body(3))["usage"]["completion_tokens"] == TOKENS


def test_a_worker_started_by_hand_comes_back():
    with ExternalRanks(1) as external:
        server = external.server
        undisturbed = run_streams(server, [body(index) for index in range(3)])

        def disturb(_):
            external.kill_worker()
            assert eventually(lambda: ready(server)["state"] == "recovering", 1)
            assert eventually(lambda: ready(server)["missing_ranks"] == [0], 2), ready(server)
            assert eventually(lambda: "start what is missing again with\n  deeprack-worker" in server.read_log(), 5)
            external.start_worker()

        assert run_streams(server, [body(index) for index in range(3)], disturb) == undisturbed
    assert server.exit_code == 0, server.read_log()
    assert external.exit_codes == [0]


def test_stopping_while_ranks_are_awaited():
    with ExternalRanks(1) as external:
        stream = Stream(external.server, body(1, max_tokens=1500))
        assert eventually(lambda: stream.events > 3)
        external.kill_worker()
        assert eventually(lambda: ready(external.server)["missing_ranks"] == [0], 2)
    assert "stopping" in stream.result()[3]["message"]
    assert external.server.exit_code == 0, external.server.read_log()


def test_nobody_comes_back():
    with ExternalRanks(1, "--recovery-timeout", 1) as external:
        server = external.server
        stream = Stream(server, body(1, max_tokens=1500))
        assert eventually(lambda: stream.events > 3)
        external.kill_worker()
        assert "--recovery-timeout" in stream.result()[3]["message"]
        assert eventually(lambda: server.process.poll() is not None, 30), server.read_log()
    assert server.exit_code == 69, server.read_log()
    assert "0 of 1 workers joined" in server.read_log()
