"""CPU ranks that are started one by one, without mpirun: they meet over gloo."""

import re

import pytest

from external_ranks import ExternalRanks
from ranks_cluster import eventually
from test_layouts import answers_of, answers_of_one_rank
from test_recovery import body, metric, ready, run_streams


@pytest.mark.parametrize("flags", [
    ("--tp", 2),
    ("--dp", 2, "--expert-exchange", "all_to_all"),
    ("--tp", 2, "--ep", 1),
    ("--pp", 2),
], ids=lambda flags: " ".join(map(str, flags)))
def test_the_text_is_that_of_one_process(flags):
    with ExternalRanks(2, *flags) as ranks:
        texts = answers_of(ranks.server)
    assert texts == answers_of_one_rank()
    assert ranks.server.exit_code == 0, ranks.server.read_log()
    assert ranks.exit_codes == [0, 0]


def test_a_killed_rank_comes_back_and_the_others_keep_their_weights():
    requests = [body(index) for index in range(4)]
    with ExternalRanks(2, "--tp", 2) as ranks:
        server = ranks.server
        undisturbed = run_streams(server, requests)

        def disturb(_):
            for loss in (1, 2):
                ranks.kill_worker()
                assert eventually(lambda: ready(server)["state"] == "recovering", 2), "not noticed"
                assert eventually(lambda: len(ready(server)["missing_ranks"]) == 1, 5), ready(server)
                ranks.start_worker()
                assert eventually(lambda: metric(server, "deeprack:recoveries_total") >= loss, 60), server.read_log()

        assert run_streams(server, requests, disturb) == undisturbed
        assert ranks.workers[0].poll() is None, "the rank that was not killed has ended"
        log = server.read_log()
        assert "keeps its weights for epoch 2" in log and "keeps its weights for epoch 3" in log, log
    assert ranks.server.exit_code == 0, ranks.server.read_log()
    assert ranks.exit_codes == [0, 0]


def formed(log):
    """The layouts of the epochs so far."""
    return re.findall(r"epoch \d+ is formed as (tp=\d+ dp=\d+)", log)


def test_fewer_ranks_serve_on_in_a_smaller_layout_and_the_larger_one_is_formed_again():
    requests = [body(index, max_tokens=300) for index in range(4)]
    large, small = "tp=2 dp=2", "tp=2 dp=1"
    flags = ("--layouts", "tp2dp2,tp2", "--recovery-timeout", 2, "--recovery-limit", "5/0.02", "--log-level", "info")
    with ExternalRanks(4, *flags) as ranks:
        server = ranks.server
        undisturbed = run_streams(server, requests)

        def disturb(_):
            ranks.kill_worker()
            ranks.kill_worker()
            assert eventually(lambda: formed(server.read_log()) == [large, small], 30), server.read_log()
            assert eventually(lambda: ready(server)["ready"], 60), server.read_log()
            ranks.start_worker()  # waits without a rank
            assert eventually(lambda: "): 3 of 4" in server.read_log().rsplit("is formed as", 1)[1], 30), server.read_log()
            assert formed(server.read_log()) == [large, small]
            ranks.start_worker()
            assert eventually(lambda: formed(server.read_log()) == [large, small, large], 30), server.read_log()
            assert eventually(lambda: ready(server)["ready"], 60), server.read_log()

        assert run_streams(server, requests, disturb) == undisturbed
        assert all(error is None for _, _, _, error in undisturbed)
        assert metric(server, "deeprack:losses_total") == metric(server, "deeprack:recoveries_total") == 1
        assert all(worker.poll() is None for worker in ranks.workers), "a rank that was not killed has ended"
    assert ranks.server.exit_code == 0, ranks.server.read_log()
    assert ranks.exit_codes == [0, 0, 0, 0]


def test_a_small_layout_is_formed_at_the_start_and_a_worker_without_a_rank_ends_too():
    flags = ("--layouts", "tp2dp2,tp2", "--worker-timeout", 3, "--log-level", "info")
    with ExternalRanks(3, *flags) as ranks:
        assert formed(ranks.server.read_log()) == ["tp=2 dp=1"]
        answer = ranks.server.post("/v1/completions", body(1, max_tokens=8))
        assert answer["usage"]["completion_tokens"] == 8
    assert ranks.server.exit_code == 0, ranks.server.read_log()
    assert ranks.exit_codes == [0, 0, 0]
