"""The placement of ranks when hwloc is told that this machine has two NUMA nodes."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import Serve  # noqa: E402

ALLOWED = sorted(os.sched_getaffinity(0))[:2]


@pytest.fixture
def two_nodes(monkeypatch):
    monkeypatch.setenv("HWLOC_SYNTHETIC", f"numa:2 core:1 pu:1(indexes={ALLOWED[0]},{ALLOWED[-1]})")
    monkeypatch.setenv("HWLOC_THISSYSTEM", "1")


def placements(*arguments):
    """The lines of the log about placement. The second node does not exist, so its memory comes from another node."""
    with Serve("--threads", 1, "--log-level", "info", *arguments) as server:
        answer = server.post("/v1/chat/completions",
                             {"model": "demo", "temperature": 0, "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
        assert "42" in answer["choices"][0]["message"]["content"]
    return "\n".join(sorted(line.split(": ", 1)[1] for line in server.read_log().splitlines() if "on this machine" in line))


@pytest.mark.skipif(len(ALLOWED) < 2, reason="two nodes take two processors")
def test_each_rank_has_a_node(two_nodes):
    assert placements("--tp", 2).splitlines() == [
        f"rank {rank} of 2 on this machine: 1 thread, on processors {ALLOWED[rank]}; memory on their NUMA node {rank}"
        for rank in (0, 1)]


@pytest.mark.skipif(len(ALLOWED) < 2, reason="two nodes take two processors")
def test_a_rank_alone_is_told_of_the_other_node(two_nodes):
    assert placements() == (f"rank 0 of 1 on this machine: 1 thread, on processors {ALLOWED[0]}; "
                            "memory interleaved over NUMA nodes 0-1: a rank for each node is faster (--tp)")


def test_binding_can_be_left_out(two_nodes, monkeypatch):
    monkeypatch.setenv("DEEPRACK_BIND_THREADS", "false")
    assert placements() == ""
