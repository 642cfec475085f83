"""With two steps under way every token is the one that one step under way gives."""

import functools

import pytest

from same_tokens import choices, requests, tokens
from serve_command import Serve

BODIES = requests(36)


@functools.cache
def with_one_step():
    with Serve("--steps-under-way", 1) as server:
        return choices(server, BODIES)


def test_the_requests_end_in_different_ways():
    assert {choice[0]["finish_reason"] for choice in with_one_step()} == {"stop", "length"}


def test_two_steps_give_the_same_answers():
    with Serve("--steps-under-way", 2) as server:
        assert choices(server, BODIES) == with_one_step()


@pytest.mark.parametrize("flags", [("--tp", 2), ("--dp", 2), ("--pp", 2)], ids=lambda flags: " ".join(map(str, flags)))
def test_two_steps_give_the_same_tokens_in_other_layouts(flags):
    with Serve("--steps-under-way", 2, *flags) as server:
        assert tokens(choices(server, BODIES)) == tokens(with_one_step())
