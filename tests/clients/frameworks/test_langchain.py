"""langchain-openai, langchain-deepseek and langgraph."""
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI, OpenAI
from langgraph.prebuilt import create_react_agent

from scripted_servers import ANSWER, CITY, MODEL, REASONING, WEATHER
from verdict import VERDICT, Verdict

QUESTION = "What is 12 + 30?"


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def openai_chat(server, **more):
    return ChatOpenAI(base_url=server.v1, api_key="none", model=MODEL, max_retries=0, **more)


def deepseek_chat(server, **more):
    return ChatDeepSeek(api_base=server.v1, api_key="none", model=MODEL, max_retries=0, **more)


@pytest.mark.parametrize("chat", [openai_chat, deepseek_chat])
def test_invoke_and_stream(answers, chat):
    model = chat(answers)
    assert model.invoke(QUESTION).content.strip() == ANSWER
    assert "".join(chunk.content for chunk in model.stream(QUESTION)).strip() == ANSWER
    batch = model.batch([QUESTION] * 4)
    assert [message.content.strip() for message in batch] == [ANSWER] * 4
    assert batch[0].usage_metadata["output_tokens"] > 0


def test_deepseek_has_the_reasoning(answers):
    model = deepseek_chat(answers)
    assert model.invoke(QUESTION).additional_kwargs["reasoning_content"] == REASONING
    parts = [chunk.additional_kwargs.get("reasoning_content", "") for chunk in model.stream(QUESTION)]
    assert "".join(parts) == REASONING


@pytest.mark.parametrize("chat", [openai_chat, deepseek_chat])
def test_a_tool_and_its_output(weather, chat):
    model = chat(weather).bind_tools([get_weather])
    messages = [HumanMessage("How is the weather in Paris?")]
    messages.append(model.invoke(messages))
    call, = messages[-1].tool_calls
    assert (call["name"], call["args"]) == ("get_weather", CITY)
    messages.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    assert model.invoke(messages).content == WEATHER


@pytest.mark.parametrize("chat", [openai_chat, deepseek_chat])
def test_a_tool_in_a_stream(weather, chat):
    whole = None
    for chunk in chat(weather).bind_tools([get_weather]).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("get_weather", CITY)]


def test_responses_api(answers):
    message = openai_chat(answers, use_responses_api=True).invoke(QUESTION)
    assert message.text.strip() == ANSWER


def test_completions(answers):
    model = OpenAI(base_url=answers.v1, api_key="none", model=MODEL, max_retries=0, max_tokens=5)
    assert model.invoke("abc") == "defgh"
    assert "".join(model.stream("ABC")) == "DEFGH"


@pytest.mark.parametrize("chat", [openai_chat, deepseek_chat])
def test_langgraph_agent(weather, chat):
    agent = create_react_agent(chat(weather), [get_weather])
    messages = agent.invoke({"messages": [("user", "How is the weather in Paris?")]})["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "sunny in Paris" and messages[3].content == WEATHER


def test_langgraph_streams_messages(weather):
    agent, parts = create_react_agent(openai_chat(weather), [get_weather]), []
    for chunk, _ in agent.stream({"messages": [("user", QUESTION)]}, stream_mode="messages"):
        if chunk.type == "AIMessageChunk":
            parts.append(chunk.content)
    assert "".join(parts) == WEATHER


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("chat", [openai_chat, deepseek_chat])
def test_structured_output(request, chat, method):
    # langchain-deepseek turns json_schema into function_calling.
    calls = method == "function_calling" or (method == "json_schema" and chat is deepseek_chat)
    server = request.getfixturevalue("verdict_calls" if calls else "verdicts")
    model = chat(server).with_structured_output(Verdict, method=method)
    assert model.invoke(QUESTION) == VERDICT
    assert list(model.stream(QUESTION))[-1] == VERDICT
    described = chat(server).with_structured_output(Verdict.model_json_schema(), method=method, include_raw=True)
    assert described.invoke(QUESTION)["parsed"] == VERDICT.model_dump(mode="json")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_whatever_the_model_says(demo, method):
    finished = 0
    for seed in range(4):
        chat = ChatOpenAI(base_url=demo.v1, api_key="none", model="demo", max_retries=0, temperature=1, seed=seed, max_tokens=800)
        try:
            answer = chat.with_structured_output(Verdict, method=method, include_raw=True).invoke(QUESTION)
        except openai.LengthFinishReasonError:
            continue
        if answer["raw"].response_metadata["finish_reason"] != "length":
            assert isinstance(answer["parsed"], Verdict), answer
            finished += 1
    assert finished > 1
