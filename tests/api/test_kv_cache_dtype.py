"""`deeprack serve --kv-cache-dtype fp8`: the demo model answers correctly with half the cache, and `plan` counts the ranks' bytes."""

import json
import re

import pytest

from serve_command import ROOT, Serve, run
from test_distills import write_model

QUESTIONS = json.loads((ROOT / "demo" / "questions.json").read_text())
KV_BYTES = 3_000_000


def pages_of_every_rank(log):
    return [int(pages) for pages in re.findall(r"KV cache in fp8, (\d+) pages of 64 tokens", log)]


@pytest.mark.parametrize("layout", [(), ("--tp", 2), ("--dp", 2, "--pp", 2)], ids=lambda flags: " ".join(map(str, flags)))
def test_it_answers_right_from_an_fp8_cache(layout):
    flags = ("--kv-cache-dtype", "fp8", "--kv-bytes", KV_BYTES, *layout)
    with Serve(*flags, "--log-level", "info") as serve:
        for entry in QUESTIONS:
            body = {"messages": [{"role": "user", "content": entry["question"]}], "temperature": 0, "max_tokens": 400}
            first, again = (serve.post("/v1/chat/completions", body)["choices"][0] for _ in range(2))
            assert entry["answer"] in first["message"]["content"], first
            assert again == first, "a prompt whose beginning is in the cache"
    assert serve.exit_code == 0, serve.read_log()
    plan = run("plan", *flags)
    assert plan.returncode == 0, plan.stderr
    assert "fp8 KV cache" in plan.stdout
    rows = [line.split() for line in plan.stdout.splitlines()[2:-1]]
    pages = pages_of_every_rank(serve.read_log())
    assert pages and set(pages) == {min(int(row[-1]) for row in rows) // 64}, (plan.stdout, pages)


def test_it_needs_latent_attention(tmp_path):
    model = write_model(tmp_path, "qwen2")
    for command in ("serve", "plan"):
        done = run(command, model, "--kv-cache-dtype", "fp8")
        assert done.returncode == 78, done.stderr
        assert "needs latent attention" in done.stderr and "a KV cache of type auto" in done.stderr


def test_other_types_are_refused():
    done = run("serve", "--kv-cache-dtype", "fp4")
    assert done.returncode == 64
    assert "must be one of auto, bf16, fp8" in done.stderr
