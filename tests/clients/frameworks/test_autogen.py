"""autogen with its defaults: it sends a name with every message."""
import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient

from scripted_servers import ANSWER, MODEL, WEATHER

MODEL_INFO = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False,
              "family": ModelFamily.UNKNOWN}


async def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def client_of(server):
    return OpenAIChatCompletionClient(model=MODEL, base_url=server.v1, api_key="none", model_info=MODEL_INFO)


def test_assistant(answers):
    agent = AssistantAgent("assistant", model_client=client_of(answers))
    assert asyncio.run(agent.run(task="What is 12 + 30?")).messages[-1].content.strip() == ANSWER


def test_assistant_streams(answers):
    async def run():
        agent = AssistantAgent("assistant", model_client=client_of(answers), model_client_stream=True)
        return [message async for message in agent.run_stream(task="What is 12 + 30?")]

    assert asyncio.run(run())[-1].messages[-1].content.strip().endswith(ANSWER)


def test_a_tool(weather):
    agent = AssistantAgent("assistant", model_client=client_of(weather), tools=[get_weather], reflect_on_tool_use=True)
    result = asyncio.run(agent.run(task="How is the weather in Paris?"))
    assert result.messages[-1].content.strip() == WEATHER
    assert any("sunny in Paris" in message.to_text() for message in result.messages)


def test_a_team(answers):
    async def run():
        agents = [AssistantAgent(name, model_client=client_of(answers)) for name in ("writer", "critic")]
        return await RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(4)).run(task="Sums, please.")

    texts = [message.content.strip() for message in asyncio.run(run()).messages[1:] if message.type == "TextMessage"]
    assert texts == [ANSWER] * 3
