"""The cluster answers the unmodified client of the anthropic package."""
import anthropic
import pytest

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
TOOL = {"name": "add", "description": "Adds two numbers.",
        "input_schema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}


def connect(url):
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60)


@pytest.fixture
def client(cluster):
    return connect(cluster.url)


def asked(**more):
    """The client has no argument for the temperature any more; the API has."""
    return {"model": "model", "messages": QUESTION, "max_tokens": 200, "extra_body": {"temperature": 0}, **more}


def blocks(message):
    """Type and text of each block."""
    return [(block.type, getattr(block, block.type)) for block in message.content]


def test_create(client, cluster):
    message = client.messages.create(**asked())
    assert message.role == "assistant" and message.model == "model" and message.stop_reason == "end_turn"
    assert [block.type for block in message.content] == ["thinking", "text"]
    chat = cluster.client().chat.completions.create(**asked()).choices[0].message
    assert blocks(message) == [("thinking", chat.reasoning_content), ("text", chat.content)]
    assert 0 < message.usage.output_tokens_details.thinking_tokens <= message.usage.output_tokens


def test_the_stream_gathers_the_same_message(client):
    whole = client.messages.create(**asked())
    with client.messages.stream(**asked()) as stream:
        text = "".join(stream.text_stream)
        streamed = stream.get_final_message()
    assert blocks(streamed) == blocks(whole)
    assert text == whole.content[-1].text
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_a_whole_conversation_with_tools_is_sent_back(client):
    first = client.messages.create(**asked(tools=[TOOL], system=[{"type": "text", "text": "Be brief."}]))
    again = QUESTION + [
        {"role": "assistant", "content": first.content + [{"type": "tool_use", "id": "t", "name": "add",
                                                           "input": {"a": 12, "b": 30}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "42"},
                                     {"type": "text", "text": "Well?"}]}]
    second = client.messages.create(**asked(messages=again, tools=[TOOL], max_tokens=5))
    assert second.stop_reason == "max_tokens" and second.usage.output_tokens == 5


def test_a_prefill_is_continued(client):
    whole = client.messages.create(**asked())
    begun = [{"role": "assistant", "content": [whole.content[0], {"type": "text", "text": whole.content[1].text[:1]}]}]
    message = client.messages.create(**asked(messages=QUESTION + begun, max_tokens=3))
    assert message.usage.output_tokens <= 3 and message.stop_reason in ("end_turn", "max_tokens")


def test_stop_sequence(client):
    text = client.messages.create(**asked()).content[-1].text
    message = client.messages.create(**asked(stop_sequences=[text[-1]]))
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == text[-1]


@pytest.mark.parametrize("folder", ["", "/anthropic"])
def test_count_tokens(cluster, folder):
    client = connect(cluster.url + folder)
    counted = client.messages.count_tokens(model="model", messages=QUESTION, system="Be brief.")
    usage = client.messages.create(**asked(system="Be brief.", max_tokens=1)).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_the_beta_client_asks_with_a_query(client):
    message = client.beta.messages.create(**asked(max_tokens=3), betas=["interleaved-thinking-2025-05-14"])
    assert message.stop_reason == "max_tokens"


def test_errors_are_the_clients_exceptions(client):
    with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
        client.messages.create(**asked(model="claude"))
    with pytest.raises(anthropic.BadRequestError, match="image"):
        client.messages.create(**asked(messages=[{"role": "user", "content": [{"type": "image", "source": {
            "type": "url", "url": "http://x"}}]}]))
