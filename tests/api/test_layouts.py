"""`deeprack serve` with a model folder gives the same greedy text in every layout."""

import functools

import pytest

from serve_command import Serve

QUESTIONS = ["What is 4821 + 977?", "Sort 52, 7, 318, 40.", "How many r's are in strawberry?", "What is 23 * 17?"]
LAYOUTS = [
    ("--tp", 2),
    ("--tp", 4),
    ("--dp", 2),
    ("--pp", 2),
    ("--tp", 2, "--ep", 1),
    ("--tp", 2, "--dp", 2, "--ep", 2),
    ("--tp", 2, "--expert-exchange", "all_to_all"),
    ("--dp", 2, "--pp", 2, "--expert-exchange", "all_to_all"),
]


def answers_of(server):
    """The greedy answers to QUESTIONS, with reasoning."""
    texts = []
    for question in QUESTIONS:
        body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 400}
        choice = server.post("/v1/chat/completions", body)["choices"][0]
        texts.append((choice["message"].get("reasoning_content"), choice["message"]["content"], choice["finish_reason"]))
    return texts


def answers(*flags):
    """The answers of a cluster with these flags."""
    with Serve(*flags) as serve:
        texts = answers_of(serve)
    assert serve.exit_code == 0, serve.read_log()
    return texts


@functools.cache
def answers_of_one_rank():
    return answers()


def test_one_rank_reasons_and_answers():
    for reasoning, content, finish in answers_of_one_rank():
        assert reasoning and content and finish == "stop"
    assert "5798" in answers_of_one_rank()[0][1]


@pytest.mark.parametrize("flags", LAYOUTS, ids=lambda flags: " ".join(map(str, flags)))
def test_every_layout_gives_the_same_text(flags):
    assert answers(*flags) == answers_of_one_rank()
