"""litellm: as a library, and as a proxy between the openai and anthropic clients and the server."""
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request

import anthropic
import litellm
import openai
import pytest

from scripted_servers import ANSWER, CITY, MODEL, REASONING, free_port
from verdict import VERDICT, Verdict

KEY = "sk-" + secrets.token_hex(16)  # the proxy refuses to start without a key of its own
QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "deepseek"])
def test_chat(answers, provider):
    ask = {"model": f"{provider}/{MODEL}", "api_base": answers.v1, "api_key": "none", "messages": QUESTION, "num_retries": 0}
    message = litellm.completion(**ask).choices[0].message
    assert (message.content.strip(), message.reasoning_content) == (ANSWER, REASONING)
    content = reasoning = ""
    for chunk in litellm.completion(**ask, stream=True):
        content += chunk.choices[0].delta.content or ""
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert (content.strip(), reasoning) == (ANSWER, REASONING)


def test_a_tool(weather):
    answer = litellm.completion(model=f"openai/{MODEL}", api_base=weather.v1, api_key="none", messages=QUESTION, tools=[TOOL])
    call, = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", CITY)


def test_a_schema(verdicts):
    answer = litellm.completion(model=f"openai/{MODEL}", api_base=verdicts.v1, api_key="none", messages=QUESTION,
                                response_format=Verdict)
    assert Verdict.model_validate_json(answer.choices[0].message.content) == VERDICT


def test_text_completion(answers):
    answer = litellm.text_completion(model=f"text-completion-openai/{MODEL}", api_base=answers.v1, api_key="none",
                                     prompt="abc", max_tokens=5)
    assert answer.choices[0].text == "defgh"


def test_responses(answers):
    answer = litellm.responses(model=f"openai/{MODEL}", api_base=answers.v1, api_key="none", input="What is 12 + 30?")
    text = [part.text for item in answer.output if item.type == "message" for part in item.content]
    assert "".join(text).strip() == ANSWER


@pytest.fixture(scope="module")
def proxy(answers, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    config = folder / "config.yaml"
    config.write_text(json.dumps({"model_list": [{"model_name": "r1", "litellm_params": {
        "model": f"openai/{MODEL}", "api_base": answers.v1, "api_key": "none"}}]}))
    log = open(folder / "log", "w+")
    process = subprocess.Popen([sys.executable, "-m", "litellm.proxy.proxy_cli", "--config", str(config), "--port", str(port),
                                "--host", "127.0.0.1"], stdout=log, stderr=log, cwd=folder,
                               env={**os.environ, "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(url + "/health/liveliness", timeout=5)
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(timeout=30)


def test_proxy_for_openai(proxy):
    client = openai.OpenAI(base_url=proxy + "/v1", api_key=KEY, max_retries=0)
    assert client.chat.completions.create(model="r1", messages=QUESTION).choices[0].message.content.strip() == ANSWER
    stream = client.chat.completions.create(model="r1", messages=QUESTION, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices).strip() == ANSWER


def test_proxy_for_anthropic(proxy):
    client = anthropic.Anthropic(base_url=proxy, api_key=KEY, max_retries=0)
    message = client.messages.create(model="r1", max_tokens=1000, messages=QUESTION)
    assert "".join(block.text for block in message.content if block.type == "text").strip() == ANSWER
