"""pydantic-ai over the chat, responses and messages APIs."""
import asyncio

import pytest
from anthropic import AsyncAnthropic
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from scripted_servers import ANSWER, MODEL, REASONING, WEATHER
from verdict import VERDICT, Verdict


def chat(server):
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=server.v1, api_key="none"))


def responses(server):
    return OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=server.v1, api_key="none"))


def messages(server):
    client = AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0)
    return AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))


MODELS = [chat, responses, messages]


@pytest.mark.parametrize("model", MODELS)
def test_run_and_stream(answers, model):
    agent = Agent(model(answers), system_prompt="Be brief.")

    async def both():
        whole = (await agent.run("What is 12 + 30?")).output
        async with agent.run_stream("What is 12 + 30?") as run:
            parts = [part async for part in run.stream_text(delta=True)]
        return whole, "".join(parts)

    whole, streamed = asyncio.run(both())
    assert whole.strip() == streamed.strip() == ANSWER


@pytest.mark.parametrize("model", MODELS)
def test_a_tool(weather, model):
    agent, asked = Agent(model(weather)), []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "sunny"

    assert agent.run_sync("How is the weather in Paris?").output.strip() == WEATHER
    assert asked == ["Paris"]


def test_reasoning_is_a_thinking_part(answers):
    parts = Agent(chat(answers)).run_sync("What is 12 + 30?").all_messages()[-1].parts
    assert [part.content for part in parts if isinstance(part, ThinkingPart)] == [REASONING]


def test_a_conversation_goes_on(answers):
    agent = Agent(chat(answers))
    first = agent.run_sync("What is 12 + 30?")
    assert agent.run_sync("And again?", message_history=first.all_messages()).output.strip() == ANSWER


@pytest.mark.parametrize("model", MODELS)
def test_an_output_type(verdict_calls, verdicts, model):
    by_call = Agent(model(verdict_calls), output_type=ToolOutput(Verdict, name="Verdict"))
    assert by_call.run_sync("Is it so?").output == VERDICT
    if model is not messages:  # asks for a schema only of Anthropic's models
        by_schema = Agent(model(verdicts), output_type=NativeOutput(Verdict))
        assert by_schema.run_sync("Is it so?").output == VERDICT
