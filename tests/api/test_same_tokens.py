"""Every token is the one that one step under way without drafts gives."""

import functools

import pytest

from same_tokens import choices, requests, tokens
from serve_command import Serve
from test_recovery import metric

BODIES = requests(36)
LAYOUTS = [("--tp", 2), ("--dp", 2), ("--pp", 2)]


@functools.cache
def with_one_step():
    with Serve("--steps-under-way", 1) as server:
        return choices(server, BODIES)


def test_the_requests_end_in_different_ways():
    assert {choice[0]["finish_reason"] for choice in with_one_step()} == {"stop", "length"}


def test_two_steps_give_the_same_answers():
    with Serve("--steps-under-way", 2) as server:
        assert choices(server, BODIES) == with_one_step()


@pytest.mark.parametrize("flags", LAYOUTS, ids=lambda flags: " ".join(map(str, flags)))
def test_two_steps_give_the_same_tokens_in_other_layouts(flags):
    with Serve("--steps-under-way", 2, *flags) as server:
        assert tokens(choices(server, BODIES)) == tokens(with_one_step())


@pytest.mark.parametrize("drafts", [1, 3])
def test_drafts_give_the_same_answers(drafts):
    with Serve("--speculative-tokens", drafts) as server:
        assert choices(server, BODIES) == with_one_step()
        offered, accepted = (metric(server, f"vllm:spec_decode_num_{kind}_tokens_total") for kind in ("draft", "accepted"))
        assert 0 < accepted < offered


@pytest.mark.parametrize("flags", [*LAYOUTS[:1], (*LAYOUTS[1], "--ep", 2, "--expert-exchange", "all_to_all"), LAYOUTS[2]],
                         ids=lambda flags: " ".join(map(str, flags)))
def test_drafts_give_the_same_tokens_in_other_layouts(flags):
    with Serve("--speculative-tokens", 2, *flags) as server:
        assert tokens(choices(server, BODIES)) == tokens(with_one_step())
