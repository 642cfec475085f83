"""The anthropic client, unmodified, with a model whose answers are known."""
import anthropic
import pytest

from scripted_servers import ANSWER, CITY, MODEL, REASONING, WEATHER
from verdict import VERDICT, Verdict

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
TOOL = {"name": "get_weather", "description": "The weather in a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


def client_of(server, path=""):
    return anthropic.Anthropic(base_url=server.url + path, api_key="none", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def client(answers):
    return client_of(answers)


def texts(message, kind="text"):
    return "".join(getattr(block, kind) for block in message.content if block.type == kind)


def test_message(client):
    message = client.messages.create(model=MODEL, max_tokens=1000, messages=QUESTION)
    assert texts(message).strip() == ANSWER and message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_thinking(client):
    message = client.messages.create(model=MODEL, max_tokens=2000, messages=QUESTION,
                                     thinking={"type": "enabled", "budget_tokens": 1024})
    assert texts(message, "thinking").strip() == REASONING and texts(message).strip() == ANSWER


def test_stream(client):
    with client.messages.stream(model=MODEL, max_tokens=1000, messages=QUESTION, system="Be brief.") as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.strip() == texts(final).strip() == ANSWER and final.stop_reason == "end_turn"


def test_a_tool_and_its_output(weather):
    client, messages = client_of(weather), [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.messages.create(model=MODEL, max_tokens=1000, messages=messages, tools=[TOOL])
    call, = [block for block in first.content if block.type == "tool_use"]
    assert (call.name, call.input, first.stop_reason) == ("get_weather", CITY, "tool_use")
    messages += [{"role": "assistant", "content": first.content},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}]
    second = client.messages.create(model=MODEL, max_tokens=1000, messages=messages, tools=[TOOL])
    assert texts(second).strip() == WEATHER and second.stop_reason == "end_turn"


def test_a_tool_in_a_stream(weather):
    with client_of(weather).messages.stream(model=MODEL, max_tokens=1000, messages=QUESTION, tools=[TOOL]) as stream:
        final = stream.get_final_message()
    assert [block.input for block in final.content if block.type == "tool_use"] == [CITY]


def test_parse(verdicts):
    client = client_of(verdicts)
    message = client.messages.parse(model=MODEL, max_tokens=1000, messages=QUESTION, output_format=Verdict)
    assert message.parsed_output == VERDICT and message.stop_reason == "end_turn"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "Verdict", "disable_parallel_tool_use": True}])
def test_a_demanded_call(verdict_calls, choice):
    tool = {"name": "Verdict", "input_schema": Verdict.model_json_schema()}
    message = client_of(verdict_calls).messages.create(model=MODEL, max_tokens=1000, messages=QUESTION, tools=[tool], tool_choice=choice)
    call, = [block for block in message.content if block.type == "tool_use"]
    assert Verdict.model_validate(call.input) == VERDICT and message.stop_reason == "tool_use"


def test_stop_sequence_and_limit(client):
    message = client.messages.create(model=MODEL, max_tokens=1000, messages=QUESTION, stop_sequences=["forty-two"])
    assert texts(message).strip() == "The sum is" and message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "forty-two"
    assert client.messages.create(model=MODEL, max_tokens=3, messages=QUESTION).stop_reason == "max_tokens"


def test_count_tokens(client):
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION).input_tokens
    assert counted == client.messages.create(model=MODEL, max_tokens=1, messages=QUESTION).usage.input_tokens


def test_errors_have_the_clients_types(client):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="another", max_tokens=10, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=MODEL, max_tokens=10, messages=[])


def test_the_path_of_deepseeks_api(answers):
    message = client_of(answers, "/anthropic").messages.create(model=MODEL, max_tokens=1000, messages=QUESTION)
    assert texts(message).strip() == ANSWER
