"""The cluster answers the unmodified client of the openai package."""
import openai
import pytest

from ranks_cluster import Cluster

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]


def ask(cluster, **more):
    arguments = {"model": "model", "messages": QUESTION, "temperature": 0, "max_tokens": 200, **more}
    return cluster.client().chat.completions.create(**arguments)


def test_models(cluster):
    models = list(cluster.client().models.list())
    assert [model.id for model in models] == ["model"]


def test_chat(cluster):
    answer = ask(cluster)
    choice = answer.choices[0]
    assert choice.finish_reason in ("stop", "length")
    assert choice.message.role == "assistant"
    assert choice.message.reasoning_content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens_details.reasoning_tokens <= answer.usage.completion_tokens


def test_stream_says_what_the_whole_answer_says(cluster):
    whole = ask(cluster)
    reasoning, content, finish, usage = "", "", [], []
    for chunk in ask(cluster, stream=True, stream_options={"include_usage": True}):
        if chunk.usage:
            usage.append(chunk.usage)
        for choice in chunk.choices:
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            content += choice.delta.content or ""
            if choice.finish_reason:
                finish.append(choice.finish_reason)
    assert reasoning == whole.choices[0].message.reasoning_content
    assert content == whole.choices[0].message.content
    assert finish == [whole.choices[0].finish_reason]
    assert [u.completion_tokens for u in usage] == [whole.usage.completion_tokens]


def test_greedy_is_deterministic(cluster):
    answers = [ask(cluster).choices[0].message for _ in range(3)]
    together = [choice.message for choice in ask(cluster, n=3).choices]
    first = (answers[0].reasoning_content, answers[0].content)
    assert all((m.reasoning_content, m.content) == first for m in answers + together)


def test_a_seed_repeats_an_answer(cluster):
    def sample(seed):
        message = ask(cluster, temperature=2, top_p=1, seed=seed, max_tokens=60).choices[0].message
        return message.reasoning_content, message.content

    assert sample(7) == sample(7)
    assert len({sample(seed) for seed in range(8)}) > 1


def test_logprobs(cluster):
    answer = ask(cluster, logprobs=True, top_logprobs=5, max_tokens=8)
    logprobs = answer.choices[0].logprobs
    assert logprobs.content == []  # all tokens are reasoning
    entries = logprobs.reasoning_content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        best = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(best) == 5 and best == sorted(best, reverse=True)
        assert entry["logprob"] == best[0] <= 0  # greedy takes the most likely token


def test_logprobs_join_to_the_text(cluster):
    choice = ask(cluster, logprobs=True).choices[0]
    assert choice.message.content
    assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content
    reasoning = "".join(entry["token"] for entry in choice.logprobs.reasoning_content)
    assert reasoning == choice.message.reasoning_content


def test_stop_strings_look_at_the_content(cluster):
    whole, stopped = ask(cluster).choices[0], ask(cluster, stop=["\n\n"]).choices[0]
    assert stopped.message.reasoning_content == whole.message.reasoning_content
    assert stopped.message.content == whole.message.content.split("\n\n")[0] != ""


def test_completions(cluster):
    client = cluster.client()
    ids = cluster.post("/tokenize", {"messages": QUESTION})[1]["tokens"]
    by_chat = ask(cluster, max_tokens=20, extra_body={"return_token_ids": True})
    by_ids = client.completions.create(
        model="model", prompt=ids, temperature=0, max_tokens=20, extra_body={"return_token_ids": True})
    assert by_ids.choices[0].token_ids == by_chat.choices[0].token_ids
    assert by_ids.choices[0].prompt_token_ids == ids
    pair = client.completions.create(model="model", prompt=[ids, ids[:-4]], temperature=0, max_tokens=20)
    assert pair.choices[0].text == by_ids.choices[0].text
    streamed = "".join(
        chunk.choices[0].text
        for chunk in client.completions.create(model="model", prompt=ids, temperature=0, max_tokens=20, stream=True))
    assert streamed == by_ids.choices[0].text


def test_echo_scores_a_prompt(cluster):
    client = cluster.client()
    text = "12 + 30 = 42"
    scored = client.completions.create(model="model", prompt=text, echo=True, logprobs=1, max_tokens=0).choices[0]
    assert scored.text == text
    count = cluster.post("/tokenize", {"prompt": text})[1]["count"]
    logprobs = scored.logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset) == count
    assert logprobs.token_logprobs[0] is None and all(value <= 0 for value in logprobs.token_logprobs[1:])

    # The next tokens have the same log-probabilities when the model generates them and when they are part of the prompt,
    # up to the rounding of the form in which prompts are computed.
    said, given = said_and_given(client, text)
    assert given == pytest.approx(said, abs=1e-3)


def said_and_given(client, text):
    """Compares the log-probabilities of a prompt and its answer with those of prompt and answer given as one prompt."""
    said = client.completions.create(model="model", prompt=text, echo=True, logprobs=0, max_tokens=6, temperature=0,
                                     extra_body={"return_token_ids": True, "ignore_eos": True}).choices[0]
    given = client.completions.create(model="model", prompt=said.prompt_token_ids + said.token_ids, echo=True,
                                      logprobs=0, max_tokens=0).choices[0]
    return said.logprobs.token_logprobs[1:], given.logprobs.token_logprobs[1:]


def test_one_form_of_attention_scores_answers_as_it_gave_them():
    cluster = Cluster(1, "--prefill-attention", "absorbed").wait_until_ready()
    try:
        said, given = said_and_given(cluster.client(), "12 + 30 = 42")
        assert given == said
    finally:
        cluster.stop()


def test_a_conversation_goes_on(cluster):
    first = ask(cluster).choices[0].message
    messages = QUESTION + [
        {"role": "assistant", "content": first.content, "reasoning_content": first.reasoning_content},
        {"role": "user", "content": [{"type": "text", "text": "And 5 + 6?"}]}]
    again = ask(cluster, messages=messages)
    assert again.usage.prompt_tokens > len(QUESTION)


def test_labels_and_whole_answers_are_taken(cluster):
    first = ask(cluster)
    messages = [{**QUESTION[0], "name": "Ann"}, first.choices[0].message.model_dump(), {"role": "user", "content": "Why?"}]
    again = ask(cluster, messages=messages, user="u", metadata={"k": "v"}, store=False, service_tier="default",
                prompt_cache_key="k", safety_identifier="s", verbosity="low", reasoning_effort="low",
                parallel_tool_calls=True, max_tokens=2)
    assert again.usage.completion_tokens == 2


def test_min_tokens_and_usage_of_each_chunk(cluster):
    tokens = ask(cluster).usage.completion_tokens + 5  # the answer ended 5 tokens before
    chunks = list(ask(cluster, stream=True, max_tokens=tokens, extra_body={"min_tokens": tokens},
                      stream_options={"include_usage": True, "continuous_usage_stats": True}))
    so_far = [chunk.usage.completion_tokens for chunk in chunks]
    assert so_far == sorted(so_far) and so_far[-1] == tokens


def test_errors_have_the_clients_types(cluster):
    with pytest.raises(openai.BadRequestError, match="the context holds"):
        ask(cluster, messages=[{"role": "user", "content": "1 + 2 " * 5000}])
    with pytest.raises(openai.NotFoundError, match="not served"):
        ask(cluster, model="gpt-4")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        ask(cluster, temperature=3)
    with pytest.raises(openai.BadRequestError, match="mystery"):
        ask(cluster, extra_body={"mystery": 1})
