"""The openai client, unmodified, with a model whose answers are known."""
import asyncio

import openai
import pytest

from scripted_servers import ANSWER, MODEL, REASONING, WEATHER

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
WEATHER_TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def client_of(server, **more):
    return openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0, timeout=60, **more)


@pytest.fixture(scope="module")
def client(answers):
    return client_of(answers)


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another/model")


def test_chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
    message = answer.choices[0].message
    assert (message.reasoning_content, message.content.strip()) == (REASONING, ANSWER)
    assert answer.choices[0].finish_reason == "stop"


def test_chat_stream(client):
    reasoning = content = ""
    chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True,
                                                 stream_options={"include_usage": True}))
    for chunk in chunks[:-1]:
        delta = chunk.choices[0].delta
        reasoning += getattr(delta, "reasoning_content", None) or ""
        content += delta.content or ""
    assert (reasoning, content.strip()) == (REASONING, ANSWER)
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0


def test_stream_helper_accumulates(client):
    with client.chat.completions.stream(model=MODEL, messages=QUESTION) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas).strip() == final.choices[0].message.content.strip() == ANSWER


def test_a_tool_and_its_output(weather):
    client, messages = client_of(weather), [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL])
    call, = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather" and call.function.arguments == '{"city": "Paris"}'
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL])
    assert second.choices[0].message.content == WEATHER


def test_run_tools_in_a_stream(weather):
    client = client_of(weather)
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, event.arguments) for event in done] == [("get_weather", '{"city": "Paris"}')]


def test_chat_logprobs(answers, client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, logprobs=True, top_logprobs=2)
    choice = answer.choices[0]
    joined = b"".join(bytes(entry.bytes) for entry in choice.logprobs.content)
    assert joined.decode() == choice.message.content
    assert all(entry.logprob == pytest.approx(0, abs=1e-6) for entry in choice.logprobs.content)


def test_completion_of_the_alphabet(client):
    answer = client.completions.create(model=MODEL, prompt="abc", max_tokens=5)
    assert answer.choices[0].text == "defgh" and answer.choices[0].finish_reason == "length"
    answer = client.completions.create(model=MODEL, prompt=["abc", "123"], max_tokens=20, stop=["k", "8"])
    assert [choice.text for choice in answer.choices] == ["defghij", "4567"]
    stream = client.completions.create(model=MODEL, prompt="ABC", max_tokens=5, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "DEFGH"


def test_completion_scores_a_prompt(answers, client):
    answer = client.completions.create(model=MODEL, prompt="abca", max_tokens=0, echo=True, logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs.tokens[-4:] == ["a", "b", "c", "a"]
    expected = [answers.model.text_logprob(before, after) for before, after in (("a", "b"), ("b", "c"), ("c", "a"))]
    assert logprobs.token_logprobs[-3:] == pytest.approx(expected, abs=1e-4)


def test_fifty_streams_at_once(answers):
    async def one(client, number):
        text = ""
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"Question {number}"}], stream=True)
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text.strip()

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=answers.v1, api_key="none", max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    assert asyncio.run(all_of_them()) == [ANSWER] * 50


def test_demo_model(demo):
    client = client_of(demo)
    answer = client.chat.completions.create(model="demo", messages=QUESTION, temperature=0, max_tokens=200)
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
