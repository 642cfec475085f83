"""Compares models as GGUF with the same models as folders. DEEPRACK_BUILD names the build folder (default: build)."""

import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest

from gguf_checkpoint import Type, read_values, values_of, write_folder, write_gguf

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests" / "parity" / "goldens"
PROGRAM = ROOT / os.environ.get("DEEPRACK_BUILD", "build") / "tests" / "gguf_parity"
# fp8_no_q_lora has an mscale different from its mscale_all_dim, which a GGUF cannot express.
NAMES = sorted(path.name for path in GOLDENS.iterdir() if path.name != "fp8_no_q_lora")
# Where each format has its half-precision scales; the scales of random blocks are set there.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def compare(*arguments) -> None:
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def config_of(name: str) -> dict:
    config = json.loads((GOLDENS / name / "config.json").read_text())
    config.pop("quantization_config", None)
    return config


def is_deepseek(name: str) -> bool:
    return config_of(name)["model_type"] == "deepseek_v3"


@pytest.mark.parametrize("name", NAMES)
def test_goldens_in_whole_values(tmp_path: pathlib.Path, name: str) -> None:
    """A GGUF in F32 holds the golden's values: its logits are those of transformers, in every layout."""
    write_gguf(tmp_path / "model.gguf", config_of(name), read_values(GOLDENS / name), Type.F32)
    compare("golden", name, tmp_path / "model.gguf")


@pytest.mark.parametrize("wanted", ["F16", "BF16"])
@pytest.mark.parametrize("name", ["plain", "llama_grouped", "qwen2_tied"])
def test_goldens_in_halves(tmp_path: pathlib.Path, name: str, wanted: str) -> None:
    write_gguf(tmp_path / "model.gguf", config_of(name), read_values(GOLDENS / name), Type[wanted])
    compare("golden", name, tmp_path / "model.gguf")


@pytest.mark.parametrize("name", ["plain", "no_q_lora", "r1"])
def test_older_files_with_kv_b_whole(tmp_path: pathlib.Path, name: str) -> None:
    write_gguf(tmp_path / "model.gguf", config_of(name), read_values(GOLDENS / name), Type.F32, old=True)
    compare("golden", name, tmp_path / "model.gguf")


@pytest.mark.parametrize("name", ["mtp", "qwen2_yarn"])
def test_splits(tmp_path: pathlib.Path, name: str) -> None:
    write_gguf(tmp_path / "model.gguf", config_of(name), read_values(GOLDENS / name), Type.F32, split=5)
    files = sorted(tmp_path.glob("model-*-of-*.gguf"))
    assert len(files) > 3
    compare("golden", name, files[0])


BLOCK_CASES = [(name, old) for name in ["plain", "mtp", "r1", "llama_one_kv_head", "qwen2_yarn"]
               for old in ([False, True] if is_deepseek(name) else [False])]


@pytest.mark.parametrize("wanted", ["Q8_0", "Q4_0", "Q5_1"])
@pytest.mark.parametrize("name,old", BLOCK_CASES, ids=[f"{name}-{'kv_b' if old else 'halves'}" for name, old in BLOCK_CASES])
def test_blocks_are_what_they_stand_for(tmp_path: pathlib.Path, name: str, wanted: str, old: bool) -> None:
    """The GGUF's logits are bitwise those of a folder with the values that the gguf package expands."""
    config, values = config_of(name), read_values(GOLDENS / name)
    if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
        config.pop("rope_scaling")  # a GGUF stores it as divisors, which are rounded to float
    path = tmp_path / "model.gguf"
    write_gguf(path, config, values, Type[wanted], old=old)
    types = {tensor.tensor_type for tensor in gguf.GGUFReader(path).tensors}
    assert Type[wanted] in types
    write_folder(tmp_path / "folder", config, values_of(path, config, list(values), old))
    compare("same", path, tmp_path / "folder")


def random_blocks(shape: tuple[int, ...], wanted: Type, rng: np.random.Generator) -> np.ndarray:
    """Blocks of random bits whose values have about the magnitude of weights."""
    block, size = gguf.GGML_QUANT_SIZES[wanted]
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // block, size), dtype=np.uint8)
    largest = 0.3 / {"Q3_K": 128, "Q6_K": 4096}.get(wanted.name, 960)
    for at in HALVES[wanted.name]:
        scales = rng.uniform(largest / 4, largest, blocks.shape[:-1]).astype("<f2")
        blocks[..., at : at + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)


R1 = dict(model_type="deepseek_v3", hidden_size=256, num_hidden_layers=2, first_k_dense_replace=1, intermediate_size=512,
          moe_intermediate_size=256, n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2, n_group=2, topk_group=1,
          num_attention_heads=2, q_lora_rank=256, kv_lora_rank=256, qk_nope_head_dim=64, qk_rope_head_dim=64, v_head_dim=128,
          vocab_size=96, norm_topk_prob=True, routed_scaling_factor=2.5, num_key_value_heads=2)
LLAMA = dict(model_type="llama", hidden_size=256, num_hidden_layers=2, intermediate_size=512, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=96)
COMMON = dict(rms_norm_eps=1e-6, rope_theta=10000.0, max_position_embeddings=512, bos_token_id=0, eos_token_id=1,
              tie_word_embeddings=False)


def shapes_of(c: dict) -> dict[str, tuple[int, ...]]:
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden), "lm_head.weight": (c["vocab_size"], hidden),
              "model.norm.weight": (hidden,)}

    def add_feed_forward(prefix: str, width: int) -> None:
        shapes[prefix + "gate_proj.weight"] = shapes[prefix + "up_proj.weight"] = (width, hidden)
        shapes[prefix + "down_proj.weight"] = (hidden, width)

    for layer in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}{norm}.weight"] = (hidden,)
        attention = prefix + "self_attn."
        if c["model_type"] != "deepseek_v3":
            head_dim = hidden // heads
            for name, rows in (("q", heads), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])):
                shapes[f"{attention}{name}_proj.weight"] = (rows * head_dim, hidden)
            shapes[attention + "o_proj.weight"] = (hidden, hidden)
            add_feed_forward(prefix + "mlp.", c["intermediate_size"])
            continue
        latent, rope, nope = c["kv_lora_rank"], c["qk_rope_head_dim"], c["qk_nope_head_dim"]
        shapes |= {attention + "q_a_proj.weight": (c["q_lora_rank"], hidden),
                   attention + "q_a_layernorm.weight": (c["q_lora_rank"],),
                   attention + "q_b_proj.weight": (heads * (nope + rope), c["q_lora_rank"]),
                   attention + "kv_a_proj_with_mqa.weight": (latent + rope, hidden),
                   attention + "kv_a_layernorm.weight": (latent,),
                   attention + "kv_b_proj.weight": (heads * (nope + c["v_head_dim"]), latent),
                   attention + "o_proj.weight": (hidden, heads * c["v_head_dim"])}
        if layer < c["first_k_dense_replace"]:
            add_feed_forward(prefix + "mlp.", c["intermediate_size"])
            continue
        shapes[prefix + "mlp.gate.weight"] = (c["n_routed_experts"], hidden)
        shapes[prefix + "mlp.gate.e_score_correction_bias"] = (c["n_routed_experts"],)
        for expert in range(c["n_routed_experts"]):
            add_feed_forward(f"{prefix}mlp.experts.{expert}.", c["moe_intermediate_size"])
        add_feed_forward(prefix + "mlp.shared_experts.", c["moe_intermediate_size"])
    return shapes


@pytest.mark.parametrize("base", [R1, LLAMA], ids=["r1", "llama"])
@pytest.mark.parametrize("wanted", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_blocks_of_256(tmp_path: pathlib.Path, monkeypatch, base: dict, wanted: str) -> None:
    """As above for the K-quants. The gguf package can expand but not make them, so their bits are random. Two ranks
    share rows of one block, so slices cut blocks."""
    config, rng = base | COMMON, np.random.default_rng(7)
    values = {name: rng.normal(1 if "norm" in name else 0, 0.1, shape) for name, shape in shapes_of(config).items()}

    def quantize(value: np.ndarray, chosen: Type) -> np.ndarray:
        if chosen == Type[wanted]:
            return random_blocks(value.shape, chosen, rng)
        return value.astype({Type.F32: "<f4", Type.F16: "<f2"}[chosen])

    monkeypatch.setattr(gguf.quants, "quantize", quantize)
    path = tmp_path / "model.gguf"
    write_gguf(path, config, values, Type[wanted])
    stored = [tensor.tensor_type for tensor in gguf.GGUFReader(path).tensors]
    assert stored.count(Type[wanted]) > len(stored) / 2
    write_folder(tmp_path / "folder", config, values_of(path, config, list(values)))
    compare("same", path, tmp_path / "folder")
