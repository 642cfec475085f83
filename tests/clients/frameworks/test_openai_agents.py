"""openai-agents: with the responses API, which is its default, and with chat completions."""
import asyncio

import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from scripted_servers import ANSWER, MODEL, WEATHER
from verdict import VERDICT, Verdict

set_tracing_disabled(True)


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent_of(server, kind, **more):
    client = AsyncOpenAI(base_url=server.v1, api_key="none", max_retries=0)
    return Agent(name="helper", instructions="Be brief.", model=kind(model=MODEL, openai_client=client), **more)


KINDS = [OpenAIChatCompletionsModel, OpenAIResponsesModel]


@pytest.mark.parametrize("kind", KINDS)
def test_run(answers, kind):
    assert Runner.run_sync(agent_of(answers, kind), "What is 12 + 30?").final_output.strip() == ANSWER


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool(weather, kind):
    result = Runner.run_sync(agent_of(weather, kind, tools=[get_weather]), "How is the weather in Paris?")
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["sunny in Paris"] and result.final_output.strip() == WEATHER


@pytest.mark.parametrize("kind", KINDS)
def test_stream(weather, kind):
    async def run():
        result = Runner.run_streamed(agent_of(weather, kind, tools=[get_weather]), "How is the weather in Paris?")
        deltas = [event.data.delta async for event in result.stream_events()
                  if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
        return "".join(deltas), result.final_output

    text, final = asyncio.run(run())
    assert text.strip() == final.strip() == WEATHER


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_type(verdicts, kind):
    assert Runner.run_sync(agent_of(verdicts, kind, output_type=Verdict), "Is it so?").final_output == VERDICT
