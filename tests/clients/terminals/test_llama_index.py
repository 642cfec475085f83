"""llama-index with its class for servers like OpenAI's."""
import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

from scripted_servers import ANSWER, MODEL, WEATHER

QUESTION = [ChatMessage(role="user", content="What is 12 + 30?")]


def llm_of(server, **more):
    return OpenAILike(api_base=server.v1, api_key="none", model=MODEL, max_retries=0, context_window=32768, **more)


def test_chat(answers):
    llm = llm_of(answers, is_chat_model=True)
    assert llm.chat(QUESTION).message.content.strip() == ANSWER
    assert "".join(part.delta or "" for part in llm.stream_chat(QUESTION)).strip() == ANSWER


def test_completion(answers):
    llm = llm_of(answers, is_chat_model=False, max_tokens=5)
    assert llm.complete("abc").text == "defgh"
    assert "".join(part.delta or "" for part in llm.stream_complete("ABC")) == "DEFGH"


def test_function_agent(weather):
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    llm = llm_of(weather, is_chat_model=True, is_function_calling_model=True)

    async def run():
        return await FunctionAgent(tools=[get_weather], llm=llm).run("How is the weather in Paris?")

    assert str(asyncio.run(run())).strip() == WEATHER
