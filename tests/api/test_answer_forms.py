"""Answers keep to the form that a request asks for: the openai package's client, unmodified, and vLLM's fields."""
import json
import re
from typing import Literal

import openai
import pydantic
import pytest

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]


class Sum(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    kind: Literal["sum", "product"]
    value: int = pydantic.Field(ge=-999, le=999)


def ask(cluster, **more):
    arguments = {"model": "model", "messages": QUESTION, "temperature": 1, "max_tokens": 250, **more}
    return cluster.client().chat.completions.create(**arguments).choices


def test_every_finished_answer_is_of_the_schema(cluster):
    """As .parse() of the openai package asks, with seeds that answer differently."""
    finished = 0
    for seed in range(2):
        try:
            parsed = cluster.client().chat.completions.parse(
                model="model", messages=QUESTION, temperature=1, seed=seed, max_tokens=250, response_format=Sum)
        except openai.LengthFinishReasonError:
            continue
        finished += 1
        assert isinstance(parsed.choices[0].message.parsed, Sum)
    assert finished > 0


def test_a_stream_says_what_the_whole_answer_says(cluster):
    form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": Sum.model_json_schema()}}
    whole = ask(cluster, seed=3, response_format=form)[0].message
    stream = cluster.client().chat.completions.create(
        model="model", messages=QUESTION, temperature=1, seed=3, max_tokens=250, response_format=form, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.content
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == whole.reasoning_content


@pytest.mark.parametrize("form, pattern", [
    ({"choice": ["red", "green"]}, "red|green"), ({"regex": "[A-C]{2}-\\d"}, "[A-C]{2}-\\d"),
    ({"grammar": "root ::= \"(\" [0-9] [0-9]? \")\""}, "\\([0-9]{1,2}\\)"), ({"json_object": True}, r"(?s)\{.*\}"),
    ({"json": {"enum": ["a", 5]}}, '"a"|5')])
def test_structured_outputs_on_both_endpoints(cluster, form, pattern):
    more = {"extra_body": {"structured_outputs": form}}
    answers = [(choice.finish_reason, choice.message.content) for choice in ask(cluster, n=2, max_tokens=100, **more)]
    completions = cluster.client().completions.create(
        model="model", prompt="The answer is ", temperature=1, max_tokens=50, n=2, **more).choices
    answers += [(choice.finish_reason, choice.text) for choice in completions]
    assert "json_object" in form or any(finish == "stop" for finish, _ in answers)
    for finish, text in answers:
        assert text.startswith("{") or "json_object" not in form
        assert finish != "stop" or re.fullmatch(pattern, text), text
        if finish == "stop" and "json_object" in form:
            json.loads(text)


def test_bad_forms_are_refused_by_name(cluster):
    for form, field, reason in [
            ({"json": {"type": "object", "not": {}}}, "structured_outputs.json", '"not" is not supported'),
            ({"regex": "(a{1000}){1000}"}, "structured_outputs.regex", "too large"),
            ({"grammar": "root ::= x"}, "structured_outputs.grammar", "not defined")]:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(cluster, extra_body={"structured_outputs": form})
        assert refused.value.param == field and reason in refused.value.message
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        ask(cluster, tools=[tool], tool_choice="required", response_format={"type": "json_object"})
    assert refused.value.param == "response_format"


def test_a_required_call_is_a_call(cluster):
    parameters = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}},
             {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {},
                                                                            "additionalProperties": False}}}]
    for choice_of_tool in ("required", {"type": "function", "function": {"name": "weather"}}):
        calls = 0
        for seed in range(2):
            choice = ask(cluster, tools=tools, tool_choice=choice_of_tool, seed=seed, parallel_tool_calls=False)[0]
            if choice.finish_reason == "length":
                continue
            calls += 1
            assert choice.finish_reason == "tool_calls"
            (call,) = choice.message.tool_calls
            arguments = json.loads(call.function.arguments)
            assert set(arguments) == ({"city"} if call.function.name == "weather" else set())
            assert choice_of_tool == "required" or call.function.name == "weather"
        assert calls > 0
