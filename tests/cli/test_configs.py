"""Every file of configs/ is started, or planned for the machine that it is for."""

import json
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, Serve, run  # noqa: E402

CONFIGS = ROOT / "configs"
QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 152064, "hidden_act": "silu",
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "bos_token_id": 151643, "eos_token_id": 151643, "use_sliding_window": False}
QWEN_7B = QWEN | {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                  "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 10000}
QWEN_14B = QWEN | {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48, "num_attention_heads": 40,
                   "num_key_value_heads": 8, "rope_theta": 1000000.0}


def r1():
    """DeepSeek R1's config.json, as the C++ tests have it."""
    header = (ROOT / "tests/unit/model/r1_config.h").read_text()
    return json.loads(re.search(r'kR1Config\[\] = R"\((.*?)\)"', header, re.DOTALL).group(1))


# file -> the model's config.json, the memory that is free on each rank's device, the line of the plan, and how many
# tokens the whole cluster can cache at least
PLANNED = {
    "cpu-two-machines": (QWEN_7B, "28G", "tp=2 dp=1 ep=2 pp=1, bf16 compute, bf16 KV cache, 2 ranks on the CPU", 2 * 32768),
    "cpu-workstation": (QWEN_7B, "28G", "tp=2 dp=1 ep=2 pp=1, bf16 compute, bf16 KV cache, 2 ranks on the CPU", 2 * 32768),
    "distill-one-card": (QWEN_14B, "79G", "tp=1 dp=1 ep=1 pp=1, bf16 compute, bf16 KV cache, 1 rank on cards", 131072),
    "r1-one-node-8xh200": (r1(), "139G", "tp=8 dp=1 ep=8 pp=1, bf16 compute, fp8 KV cache, 8 ranks on cards", 4 * 163840),
    "r1-two-nodes-8xh100": (r1(), "79G", "tp=8 dp=1 ep=8 pp=2, bf16 compute, fp8 KV cache, 16 ranks on cards", 4 * 65536),
    "r1-four-nodes-expert-parallel": (r1(), "79G", "tp=1 dp=32 ep=32 pp=1, bf16 compute, fp8 KV cache, 32 ranks on cards",
                                      32 * 4 * 65536),
    "r1-dummy-weights": (r1(), "139G", "tp=8 dp=1 ep=8 pp=1, bf16 compute, fp8 KV cache, 8 ranks on cards", 4 * 163840),
}
STARTED = {"demo"}
KUSTOMIZATION = "kustomization"  # makes a ConfigMap of the others


def settings_of(name):
    """The settings of a file: lines of `key: value`, without comments."""
    lines = re.sub(r"\s*#.*", "", (CONFIGS / f"{name}.yaml").read_text()).splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


def test_every_file_is_tested():
    assert {file.stem for file in CONFIGS.iterdir()} == set(PLANNED) | STARTED | {KUSTOMIZATION}


def test_kubernetes_gets_every_file():
    named = re.findall(r"^ +- (\S+)\.yaml$", (CONFIGS / f"{KUSTOMIZATION}.yaml").read_text(), re.M)
    assert sorted(named) == sorted(set(PLANNED) | STARTED)


def test_the_demo_is_served():
    with Serve("--config", CONFIGS / "demo.yaml") as server:
        answer = server.post("/v1/chat/completions",
                             {"model": "demo", "temperature": 0, "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
        assert "42" in answer["choices"][0]["message"]["content"]
    assert server.exit_code == 0, server.read_log()


@pytest.mark.parametrize("name", PLANNED)
def test_it_fits_its_machine(tmp_path, name):
    config, memory, layout, tokens = PLANNED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    plan = run("plan", tmp_path, "--config", CONFIGS / f"{name}.yaml", "--device-memory", memory)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    settings = settings_of(name)
    first, *_, last = plan.stdout.splitlines()
    assert first.startswith(layout), first
    assert first.endswith(f"steps of {settings.get('max_step_tokens', 2048)} tokens, {settings['max_sequences']} sequences, "
                          f"context {settings['max_context']}"), first
    assert int(last.split()[-1]) >= tokens, plan.stdout
