"""`deeprack serve` with models of the R1 distills' architectures: random weights, the demo model's vocabulary."""
import json
import pathlib
import random
import shutil
import struct

import pytest

from ranks_cluster import ROOT, Cluster

DEMO = ROOT / "demo" / "model"
HIDDEN, HEADS, KV_HEADS, WIDTH, LAYERS = 32, 4, 2, 48, 2
ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}


def config_of(model_type, vocab):
    own = {"rope_scaling": ROPE, "attention_bias": False} if model_type == "llama" else {"use_sliding_window": False}
    demo = json.loads((DEMO / "config.json").read_text())
    return own | {
        "model_type": model_type, "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": WIDTH,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "num_hidden_layers": LAYERS,
        "vocab_size": vocab, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": model_type == "qwen2", "bos_token_id": demo["bos_token_id"],
        "eos_token_id": demo["eos_token_id"]}


def shapes_of(model_type, vocab):
    head_dim = HIDDEN // HEADS
    shapes = {"model.embed_tokens.weight": (vocab, HIDDEN), "model.norm.weight": (HIDDEN,)}
    if model_type == "llama":
        shapes["lm_head.weight"] = (vocab, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (heads * head_dim, HIDDEN)
            if model_type == "qwen2":
                shapes[f"{prefix}self_attn.{name}_proj.bias"] = (heads * head_dim,)
        shapes[prefix + "self_attn.o_proj.weight"] = (HIDDEN, HEADS * head_dim)
        shapes[prefix + "mlp.gate_proj.weight"] = shapes[prefix + "mlp.up_proj.weight"] = (WIDTH, HIDDEN)
        shapes[prefix + "mlp.down_proj.weight"] = (HIDDEN, WIDTH)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}{norm}.weight"] = (HIDDEN,)
    return shapes


def write_model(folder, model_type):
    """A folder like those of the distills: config.json, one safetensors file in F32, R1's tokens."""
    vocab = json.loads((DEMO / "config.json").read_text())["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config_of(model_type, vocab)))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO / file, folder / file)
    draw = random.Random(7)
    header, data = {}, bytearray()
    for name, shape in shapes_of(model_type, vocab).items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        mean, spread = (1.0, 0.1) if "norm" in name else (0.0, 0.4)
        values = struct.pack(f"<{count}f", *(draw.gauss(mean, spread) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(folder)


@pytest.mark.parametrize("model_type", ["llama", "qwen2"])
def test_a_distill_is_served(tmp_path: pathlib.Path, model_type):
    model = write_model(tmp_path, model_type)
    answers = []
    for ranks in (1, 2):
        cluster = Cluster(ranks, "--compute", "f32", model=model).wait_until_ready()
        try:
            client = cluster.client()
            name = client.models.list().data[0].id
            chat = client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "What is 5 + 8?"}], max_tokens=24,
                temperature=0)
            assert chat.usage.completion_tokens > 0
            streamed = client.completions.create(
                model=name, prompt="What is 12 * 9? " * 12, max_tokens=16, temperature=0, stream=True)
            text = "".join(chunk.choices[0].text for chunk in streamed if chunk.choices)
            message = chat.choices[0].message
            answers.append((getattr(message, "reasoning_content", None), message.content, text))
        finally:
            cluster.stop()
    assert answers[0] == answers[1]
    assert answers[0][2]
