"""Requests that no client should send, to a real cluster. After each the cluster still serves."""
import json

import pytest

from ranks_cluster import MODEL, eventually, request_bytes

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "What is 1 + 2?"}]


@pytest.fixture(autouse=True)
def serves_afterwards(cluster):
    yield
    assert eventually(cluster.is_idle)
    assert cluster.post(COMPLETIONS, {"prompt": "1 + 2", "max_tokens": 1})[0] == 200


@pytest.mark.parametrize("path, body, status, words", [
    (CHAT, b"", 400, "not valid JSON"),
    (CHAT, b'{"messages": [', 400, "at byte"),
    (CHAT, b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', 400, "UTF-8"),
    (CHAT, {"messages": []}, 400, "empty"),
    (CHAT, {"messages": MESSAGES, "max_tokens": -2}, 400, "max_tokens"),
    (CHAT, {"messages": MESSAGES, "max_tokens": 10**30}, 400, "max_tokens"),
    (CHAT, {"messages": MESSAGES, "temperature": -0.1}, 400, "temperature"),
    (CHAT, {"messages": MESSAGES, "n": 10**6}, 400, "n is"),
    (CHAT, {"messages": MESSAGES, "no_such_field": 1}, 400, "no_such_field"),
    (CHAT, {"messages": [{"role": "user", "content": "x" * 100000}]}, 400, "tokens"),
    (COMPLETIONS, {"prompt": [-1]}, 400, "token ids"),
    (COMPLETIONS, {"prompt": [10**9]}, 400, "token ids"),
    (COMPLETIONS, {"prompt": [10**30]}, 400, "token ids"),
    (COMPLETIONS, {"prompt": []}, 400, "empty"),
    (COMPLETIONS, {"prompt": [[1]] * 1000}, 400, "at most"),
    (COMPLETIONS, b'{"prompt": "\\ud800"}', 400, "not valid JSON"),
    ("/detokenize", {"tokens": [10**9]}, 400, "token ids"),
    ("/v1/embeddings", {"input": "x"}, 404, "/v1/embeddings"),
])
def test_is_refused(cluster, path, body, status, words):
    found, reply = cluster.post(path, body)
    assert found == status, reply
    assert words in reply["error"]["message"]
    assert reply["error"]["type"] and reply["error"]["code"]


def test_a_prompt_beyond_the_context_names_the_numbers(cluster):
    limit = json.loads(cluster.get("/v1/models")[1])["data"][0]["max_model_len"]
    with open(f"{MODEL}/config.json", encoding="utf-8") as file:
        assert limit <= json.load(file)["max_position_embeddings"]
    status, reply = cluster.post(COMPLETIONS, {"prompt": [5] * (limit + 1)})
    assert status == 400 and reply["error"]["code"] == "context_length_exceeded"
    assert str(limit) in reply["error"]["message"] and str(limit + 1) in reply["error"]["message"]
    assert cluster.post(COMPLETIONS, {"prompt": [5] * limit, "max_tokens": 0})[0] == 200


def test_what_is_too_large(cluster):
    status, reply = cluster.post(CHAT, b" " * (9 << 20))
    assert status == 413 and reply["error"]["code"] == "payload_too_large"


def test_wrong_method(cluster):
    status, headers, _ = cluster.request(CHAT)
    assert status == 405 and headers["Allow"] == "POST"


def long_stream():
    return request_bytes(COMPLETIONS, {"prompt": "1 + 2", "stream": True, "ignore_eos": True, "logprobs": 20,
                                         "max_tokens": 1500})


def test_a_client_that_leaves_frees_its_sequence(cluster):
    aborted = cluster.metric("vllm:request_success_total", finished_reason="abort")
    with cluster.connect() as connection:
        connection.sendall(long_stream())
        assert b"text_completion" in connection.recv(65536) + connection.recv(65536)
    assert eventually(cluster.is_idle)
    assert eventually(lambda: cluster.metric("vllm:request_success_total", finished_reason="abort") == aborted + 1)


def test_a_client_that_leaves_before_its_answer(cluster):
    with cluster.connect() as connection:
        connection.sendall(request_bytes(COMPLETIONS, {"prompt": "1 + 2", "ignore_eos": True, "max_tokens": 1500}))
        assert eventually(lambda: not cluster.is_idle())
    assert eventually(cluster.is_idle)


def test_a_client_that_never_reads_is_cut(cluster):
    aborted = cluster.metric("vllm:request_success_total", finished_reason="abort")
    with cluster.connect(receive_buffer=4096) as connection:
        connection.sendall(long_stream())
        assert eventually(lambda: cluster.metric("vllm:request_success_total", finished_reason="abort") == aborted + 1, 120)


def test_garbage_instead_of_http(cluster):
    with cluster.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("field", ["top_p", "repetition_penalty", "min_p", "temperature"])
@pytest.mark.parametrize("value", [1e-300, 1e-42, 5e-324])
def test_numbers_too_small_for_a_float_harm_nobody(cluster, field, value):
    body = {"messages": [{"role": "user", "content": "What is 1 + 2?"}], "temperature": 1, "max_tokens": 5, field: value}
    status, reply = cluster.post(CHAT, body)
    assert status == 200 or reply["error"]["param"] == field
    assert cluster.get("/ready")[0] == 200


def test_an_event_larger_than_the_send_queue_arrives(cluster):
    """The server does not close the connection of a client that reads, for events of any size."""
    prompt = [5 + i % 200 for i in range(1900)]
    body = {"prompt": prompt, "stream": True, "echo": True, "logprobs": 20, "max_tokens": 2}
    status, _, text = cluster.request(COMPLETIONS, body)
    assert status == 200 and len(text) > 300_000
    assert text.rstrip().endswith("data: [DONE]")


def test_several_large_events_of_one_step_arrive(cluster):
    """Three prompts whose events come at once: more bytes than a slow client may leave waiting."""
    prompts = [[5 + (i + shift) % 200 for i in range(size)] for shift, size in enumerate((1000, 1000, 40))]
    body = {"prompt": prompts, "stream": True, "echo": True, "logprobs": 20, "max_tokens": 2}
    status, _, text = cluster.request(COMPLETIONS, body)
    assert status == 200 and len(text) > 300_000
    assert text.rstrip().endswith("data: [DONE]")
