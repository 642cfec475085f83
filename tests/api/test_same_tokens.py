"""Steps under way and drafts change no token."""

import functools

import pytest

from same_tokens import choices, has_form, requests, tokens
from serve_command import Serve
from test_recovery import metric

BODIES = requests(36)
LAYOUTS = [("--tp", 2), ("--dp", 2, "--ep", 2, "--expert-exchange", "all_to_all"), ("--pp", 2)]


@functools.cache
def with_one_step():
    with Serve("--steps-under-way", 1) as server:
        return choices(server, BODIES)


@functools.cache
def with_two_steps(layout):
    with Serve("--steps-under-way", 2, *layout) as server:
        return choices(server, BODIES)


def free_answers(found):
    """The answers without a form. With one, the demo model has many likely next tokens, of which layouts may draw different ones:
    their sums of bf16 differ in the last digits."""
    return [answer for body, answer in zip(BODIES, tokens(found)) if not has_form(body)]


def test_the_requests_end_in_different_ways():
    assert {choice[0]["finish_reason"] for choice in with_one_step()} == {"stop", "length"}


def test_two_steps_give_the_same_answers():
    assert with_two_steps(()) == with_one_step()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda flags: " ".join(map(str, flags)))
def test_two_steps_give_the_same_tokens_in_other_layouts(layout):
    assert free_answers(with_two_steps(layout)) == free_answers(with_one_step())


@pytest.mark.parametrize("drafts, layout", [(1, ()), (3, ()), *((2, layout) for layout in LAYOUTS)],
                         ids=lambda value: str(value) if isinstance(value, int) else " ".join(map(str, value)) or "alone")
def test_drafts_give_the_same_answers(drafts, layout):
    with Serve("--speculative-tokens", drafts, *layout) as server:
        assert choices(server, BODIES) == with_two_steps(layout)
        offered, accepted = (metric(server, f"vllm:spec_decode_num_{kind}_tokens_total") for kind in ("draft", "accepted"))
        assert 0 < accepted < offered
