"""The openai client's responses, unmodified, with a model whose answers are known."""
import openai
import pytest

from scripted_servers import ANSWER, MODEL, WEATHER

TOOL = {"type": "function", "name": "get_weather", "description": "The weather in a city", "strict": False,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


def client_of(server):
    return openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def client(answers):
    return client_of(answers)


def test_responses(client):
    answer = client.responses.create(model=MODEL, input="What is 12 + 30?")
    assert answer.output_text.strip() == ANSWER and answer.status == "completed"
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    again = client.responses.create(model=MODEL, input="And then?", previous_response_id=answer.id)
    assert again.output_text.strip() == ANSWER
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_responses_stream(client):
    with client.responses.stream(model=MODEL, input="What is 12 + 30?") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas).strip() == final.output_text.strip() == ANSWER


def test_responses_with_a_tool(weather):
    client = client_of(weather)
    first = client.responses.create(model=MODEL, input="How is the weather in Paris?", tools=[TOOL])
    call, = [item for item in first.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Paris"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = client.responses.create(model=MODEL, input=[output], previous_response_id=first.id, tools=[TOOL])
    assert second.output_text.strip() == WEATHER
