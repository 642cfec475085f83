"""The cluster answers the unmodified client of the openai package over /v1/responses."""
import openai
import pytest

QUESTION = "What is 12 + 30?"
TOOL = {"type": "function", "name": "add", "description": "Adds two numbers", "strict": True,
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}


def ask(cluster, **more):
    arguments = {"model": "model", "input": QUESTION, "temperature": 0, "max_output_tokens": 200, **more}
    return cluster.client().responses.create(**arguments)


def texts(response):
    """Type and text of each item of the output."""
    return [(item.type, item.arguments if item.type == "function_call" else "".join(part.text for part in item.content))
            for item in response.output]


def test_a_response_has_what_the_chat_answers(cluster):
    response = ask(cluster)
    chat = cluster.client().chat.completions.create(
        model="model", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=200)
    message = chat.choices[0].message
    assert response.object == "response" and response.status in ("completed", "incomplete")
    assert response.output_text == message.content
    assert response.output[0].type == "reasoning"
    assert response.output[0].content[0].text == message.reasoning_content
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.usage.output_tokens == chat.usage.completion_tokens
    assert response.usage.output_tokens_details.reasoning_tokens == chat.usage.completion_tokens_details.reasoning_tokens
    type(response).model_validate(response.model_dump(by_alias=True))  # every field that the client's types need is there


def test_a_stream_says_what_the_whole_response_says(cluster):
    whole = ask(cluster)
    with cluster.client().responses.stream(model="model", input=QUESTION, temperature=0, max_output_tokens=200) as stream:
        events = list(stream)
    for event in events:
        type(event).model_validate(event.model_dump(by_alias=True, warnings=False))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    ends = [event for event in events if event.type in ("response.completed", "response.incomplete", "response.failed")]
    assert ends == [events[-1]]
    response = events[-1].response
    assert texts(response) == texts(whole)
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == response.output_text
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert thought == response.output[0].content[0].text


def test_a_conversation_goes_on_from_a_stored_response(cluster):
    client = cluster.client()
    first = ask(cluster, instructions="Be brief.")
    second = ask(cluster, input="And 5 + 6?", previous_response_id=first.id)
    # The same conversation, sent whole: the earlier instructions are not part of it.
    items = [{"role": "user", "content": QUESTION}] + [item.model_dump() for item in first.output]
    again = ask(cluster, input=items + [{"role": "user", "content": "And 5 + 6?"}], store=False)
    assert second.usage.input_tokens == again.usage.input_tokens
    assert texts(second) == texts(again)

    assert client.responses.retrieve(second.id) == second
    listed = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    assert [item.id for item in listed][1:-1] == [item.id for item in first.output]
    assert listed[0].content[0].text == QUESTION and listed[-1].content[0].text == "And 5 + 6?"
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match=first.id):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match=first.id) as refused:
        ask(cluster, previous_response_id=first.id)
    assert refused.value.code == "previous_response_not_found"
    ask(cluster, previous_response_id=second.id, max_output_tokens=1)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(again.id)


def test_the_prompt_of_tools_and_their_outputs_is_that_of_the_chat(cluster):
    function = {key: TOOL[key] for key in ("name", "description", "parameters")}
    call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 12, "b": 30}'}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    response = ask(cluster, input=[{"role": "user", "content": QUESTION}, call, output], tools=[TOOL])
    chat = cluster.client().chat.completions.create(
        model="model", temperature=0, max_tokens=200, tools=[{"type": "function", "function": function}],
        messages=[{"role": "user", "content": QUESTION},
                  {"role": "assistant", "tool_calls": [
                      {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": call["arguments"]}}]},
                  {"role": "tool", "tool_call_id": "call_1", "content": "42"}])
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.output_text == (chat.choices[0].message.content or "")
    with pytest.raises(openai.BadRequestError, match="call_2"):
        ask(cluster, input=[{"role": "user", "content": QUESTION}, call, {**output, "call_id": "call_2"}])
    with pytest.raises(openai.BadRequestError, match="web_search"):
        ask(cluster, tools=[{"type": "web_search"}])


def test_logprobs(cluster):
    response = ask(cluster, include=["message.output_text.logprobs"], top_logprobs=3)
    messages = [item for item in response.output if item.type == "message"]
    assert messages and all(len(entry.top_logprobs) == 3 for item in messages for entry in item.content[0].logprobs)
    assert "".join(entry.token for entry in messages[0].content[0].logprobs) == messages[0].content[0].text
