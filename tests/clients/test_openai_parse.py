"""The openai client's .parse() with pydantic models: chats, streams, tools and responses.

The scripted model answers known values. The demo model knows nothing of the schema, and its answers parse all the same.
"""
import openai
import pytest

from scripted_servers import MODEL
from verdict import VERDICT, Verdict

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
TOOL = openai.pydantic_function_tool(Verdict)


def client_of(server):
    return openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0, timeout=60)


def test_chat_parse(verdicts):
    message = client_of(verdicts).chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Verdict).choices[0].message
    assert message.parsed == VERDICT and message.reasoning_content == "I weigh it."


def test_chat_stream(verdicts):
    with client_of(verdicts).chat.completions.stream(model=MODEL, messages=QUESTION, response_format=Verdict) as stream:
        done = [event for event in stream if event.type == "content.done"]
        final = stream.get_final_completion()
    assert [event.parsed for event in done] == [VERDICT] and final.choices[0].message.parsed == VERDICT


def test_responses_parse(verdicts):
    client = client_of(verdicts)
    assert client.responses.parse(model=MODEL, input="Is it so?", text_format=Verdict).output_parsed == VERDICT
    with client.responses.stream(model=MODEL, input="Is it so?", text_format=Verdict) as stream:
        assert stream.get_final_response().output_parsed == VERDICT


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "Verdict"}}])
def test_a_demanded_call(verdict_calls, choice):
    client = client_of(verdict_calls)
    answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice=choice).choices[0]
    call, = answer.message.tool_calls
    assert answer.finish_reason == "tool_calls" and call.function.parsed_arguments == VERDICT
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice=choice) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert [event.parsed_arguments for event in done] == [VERDICT]


def test_responses_with_a_demanded_call(verdict_calls):
    answer = client_of(verdict_calls).responses.parse(model=MODEL, input="Is it so?", tools=[TOOL], tool_choice="required")
    call, = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, call.parsed_arguments) == ("Verdict", VERDICT)


def test_whatever_the_model_says(demo):
    """Four seeds at temperature 1: content, a call, and both as streams."""
    client, finished = client_of(demo), 0
    for seed in range(4):
        ask = {"model": "demo", "messages": QUESTION, "temperature": 1, "seed": seed, "max_tokens": 600}
        if seed % 2 == 0:
            ask |= {"response_format": Verdict}
        else:
            ask |= {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
        try:
            whole = client.chat.completions.parse(**ask).choices[0].message
            with client.chat.completions.stream(**ask) as stream:
                streamed = stream.get_final_completion().choices[0].message
        except openai.LengthFinishReasonError:
            continue
        values = [message.parsed if seed % 2 == 0 else message.tool_calls[0].function.parsed_arguments
                  for message in (whole, streamed)]
        assert isinstance(values[0], Verdict) and values[0] == values[1]
        finished += 1
    assert finished > 1
