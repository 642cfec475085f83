"""Random small models whose weights are integers in groups of 128, in each published layout, and the same models in fp32.

Plain numpy, from the definitions of the layouts: AutoAWQ (gemm), AutoGPTQ and GPTQModel (gptq, gptq_v2),
compressed-tensors (pack-quantized, int-quantized).
"""

import dataclasses
import json
import pathlib
import re
import struct

import numpy as np

GROUP = 128
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
COMMON = dict(hidden_act="silu", rms_norm_eps=1e-6, max_position_embeddings=512, bos_token_id=0, eos_token_id=1,
              num_hidden_layers=2, vocab_size=96, tie_word_embeddings=False)
# With tp 2, slices cut groups of the down projections and of deepseek's attention output. Some last groups are not full.
MODELS = {
    "llama": COMMON | dict(model_type="llama", hidden_size=256, intermediate_size=384, num_attention_heads=4,
                           num_key_value_heads=2, rope_theta=10000.0),
    "qwen2": COMMON | dict(model_type="qwen2", hidden_size=200, intermediate_size=328, num_attention_heads=4,
                           num_key_value_heads=2, head_dim=40, rope_theta=10000.0, tie_word_embeddings=True),
    "deepseek_v3": COMMON | dict(
        model_type="deepseek_v3", hidden_size=256, intermediate_size=384, moe_intermediate_size=128,
        first_k_dense_replace=1, n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2, n_group=2,
        topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5, scoring_func="sigmoid", topk_method="noaux_tc",
        num_attention_heads=4, num_key_value_heads=4, q_lora_rank=128, kv_lora_rank=128, qk_nope_head_dim=32,
        qk_rope_head_dim=16, v_head_dim=32, rope_theta=10000.0),
}


def linear_shapes(c: dict) -> dict[str, tuple[int, int]]:
    """Rows and columns of the layers' linear weights by module name."""
    shapes = {}
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    for layer in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        attention = prefix + "self_attn."
        if c["model_type"] == "deepseek_v3":
            query, value = c["qk_nope_head_dim"] + c["qk_rope_head_dim"], c["v_head_dim"]
            latent = c["kv_lora_rank"]
            shapes |= {
                attention + "q_a_proj": (c["q_lora_rank"], hidden),
                attention + "q_b_proj": (heads * query, c["q_lora_rank"]),
                attention + "kv_a_proj_with_mqa": (latent + c["qk_rope_head_dim"], hidden),
                attention + "kv_b_proj": (heads * (c["qk_nope_head_dim"] + value), latent),
                attention + "o_proj": (hidden, heads * value),
            }
        else:
            dim = c.get("head_dim", hidden // heads)
            shapes |= {attention + f"{name}_proj": (count * dim, hidden)
                       for name, count in [("q", heads), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])]}
            shapes[attention + "o_proj"] = (hidden, heads * dim)
        feed_forwards = [(prefix + "mlp.", c["intermediate_size"])]
        if c["model_type"] == "deepseek_v3" and layer >= c["first_k_dense_replace"]:
            width = c["moe_intermediate_size"]
            feed_forwards = [(prefix + f"mlp.experts.{e}.", width) for e in range(c["n_routed_experts"])]
            feed_forwards.append((prefix + "mlp.shared_experts.", width * c["n_shared_experts"]))
        for name, width in feed_forwards:
            shapes |= {name + "gate_proj": (width, hidden), name + "up_proj": (width, hidden),
                       name + "down_proj": (hidden, width)}
    return shapes


def plain_tensors(c: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The tensors that are never quantised, as float16."""
    hidden = c["hidden_size"]
    norms = {"model.norm.weight": hidden}
    tensors = {"model.embed_tokens.weight": rng.normal(0, 1, (c["vocab_size"], hidden))}
    if not c["tie_word_embeddings"]:
        tensors["lm_head.weight"] = rng.normal(0, 0.1, (c["vocab_size"], hidden))
    for layer in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        norms |= {prefix + "input_layernorm.weight": hidden, prefix + "post_attention_layernorm.weight": hidden}
        if c["model_type"] == "qwen2":
            dim = c["head_dim"]
            for name, count in [("q", c["num_attention_heads"]), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])]:
                tensors[prefix + f"self_attn.{name}_proj.bias"] = rng.normal(0, 0.1, count * dim)
        if c["model_type"] == "deepseek_v3":
            norms |= {prefix + "self_attn.q_a_layernorm.weight": c["q_lora_rank"],
                      prefix + "self_attn.kv_a_layernorm.weight": c["kv_lora_rank"]}
            if layer >= c["first_k_dense_replace"]:
                tensors[prefix + "mlp.gate.weight"] = rng.normal(0, 0.1, (c["n_routed_experts"], hidden))
                tensors[prefix + "mlp.gate.e_score_correction_bias"] = rng.normal(0, 0.05, c["n_routed_experts"])
    tensors |= {name: rng.uniform(0.5, 1.5, size) for name, size in norms.items()}
    return {name: value.astype(np.float16) for name, value in tensors.items()}


def to_bf16(values: np.ndarray) -> np.ndarray:
    """The 16 bits of the values rounded to bf16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclasses.dataclass
class Integers:
    """value[n, k] = (q[n, k] - zeros[n, group_of[k]]) * scales[n, group_of[k]]"""

    q: np.ndarray
    zeros: np.ndarray
    scales: np.ndarray  # float16, or the 16 bits of bf16
    group_of: np.ndarray

    def values(self) -> np.ndarray:
        scales = from_bf16(self.scales) if self.scales.dtype == np.uint16 else self.scales.astype(np.float32)
        levels = (self.q - self.zeros[:, self.group_of]).astype(np.float32)
        return levels * scales[:, self.group_of]


@dataclasses.dataclass
class Scheme:
    layout: str  # awq, gptq, packed, int8
    quantization_config: dict
    symmetric: bool = False
    act_order: bool = False
    zero_minus_one: bool = False
    bf16_scales: bool = False
    skipped: str = "$^"  # regular expression: modules that stay float16

    def is_quantised(self, module: str) -> bool:
        return re.match(self.skipped, module) is None


def quantise(weight: np.ndarray, scheme: Scheme, rng: np.random.Generator) -> Integers:
    rows, cols = weight.shape
    if scheme.layout == "int8":
        scales = to_bf16(np.abs(weight).max(1, keepdims=True) / 127)
        q = np.clip(np.rint(weight / from_bf16(scales)), -128, 127).astype(np.int64)
        return Integers(q, np.zeros((rows, 1), np.int64), scales, np.zeros(cols, np.int64))
    groups = -(-cols // GROUP)
    group_of = np.arange(cols) // GROUP
    if scheme.act_order:
        group_of = rng.permutation(group_of)
    zeros = np.zeros((rows, groups), np.int64)
    scales = np.zeros((rows, groups), np.float32)
    for g in range(groups):
        members = weight[:, group_of == g]
        low, high = np.minimum(members.min(1), 0), np.maximum(members.max(1), 0)
        spread = 2 * np.maximum(-low, high) if scheme.symmetric else high - low
        scales[:, g] = spread / 15
        zeros[:, g] = 8 if scheme.symmetric else np.clip(np.rint(-low / scales[:, g]), int(scheme.zero_minus_one), 15)
    stored = to_bf16(scales) if scheme.bf16_scales else scales.astype(np.float16)
    used = from_bf16(stored) if scheme.bf16_scales else stored.astype(np.float32)
    q = np.rint(weight / used[:, group_of]) + zeros[:, group_of]
    return Integers(np.clip(q, 0, 15).astype(np.int64), zeros, stored, group_of)


def pack(values: np.ndarray, axis: int, order: list[int] = list(range(8))) -> np.ndarray:
    """Packs eight 4-bit values along `axis` into an int32 word, value order[i] at bit 4 * i. Pads the last word with 0."""
    values = np.moveaxis(values.astype(np.uint32), axis, -1)
    values = np.pad(values, [(0, 0), (0, -values.shape[-1] % 8)])
    words = np.zeros((values.shape[0], values.shape[1] // 8), np.uint32)
    for i, place in enumerate(order):
        words |= values[:, place::8] << np.uint32(4 * i)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis)).view(np.int32)


def parts(module: str, w: Integers, scheme: Scheme) -> dict[str, np.ndarray]:
    """The tensors of a quantised module."""
    minus = int(scheme.zero_minus_one)
    if scheme.layout == "awq":
        return {module + ".qweight": pack(w.q.T, 1, AWQ_ORDER), module + ".qzeros": pack(w.zeros.T, 1, AWQ_ORDER),
                module + ".scales": np.ascontiguousarray(w.scales.T)}
    if scheme.layout == "gptq":
        return {module + ".qweight": pack(w.q.T, 0), module + ".qzeros": pack(w.zeros.T - minus, 1),
                module + ".scales": np.ascontiguousarray(w.scales.T), module + ".g_idx": w.group_of.astype(np.int32)}
    if scheme.layout == "int8":
        return {module + ".weight": w.q.astype(np.int8), module + ".weight_scale": w.scales}
    tensors = {module + ".weight_packed": pack(w.q, 1), module + ".weight_scale": w.scales,
               module + ".weight_shape": np.array(w.q.shape, np.int64)}
    if not scheme.symmetric:
        tensors[module + ".weight_zero_point"] = pack(w.zeros, 0)
    if scheme.act_order:
        tensors[module + ".weight_g_idx"] = w.group_of.astype(np.int32)
    return tensors


def is_linear(module: str) -> bool:
    return module.endswith(("_proj", "_proj_with_mqa"))


def unpacked(module: str, stored: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The values of a module in a symmetric compressed-tensors folder, and for each value the step between levels."""
    scales = from_bf16(stored[module + ".weight_scale"])
    if module + ".weight" in stored:
        q = stored[module + ".weight"].astype(np.float32)
        steps = np.broadcast_to(scales, q.shape)
    else:
        rows, cols = stored[module + ".weight_shape"]
        words = stored[module + ".weight_packed"].view(np.uint32)
        q = (words[:, :, None] >> (4 * np.arange(8, dtype=np.uint32)) & 15).reshape(rows, -1)[:, :cols]
        q = q.astype(np.float32) - 8
        steps = scales.repeat(GROUP, 1)
    return q * steps, steps


DTYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int32": "I32", "int64": "I64", "int8": "I8"}


def write_folder(folder: pathlib.Path, config: dict, tensors: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, data = {}, bytearray()
    for name, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        raw = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": DTYPES[value.dtype.name], "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_folder(folder: pathlib.Path) -> dict[str, np.ndarray]:
    types = {stored: np.dtype(name) for name, stored in DTYPES.items()}
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                raw = data[8 + length + begin : 8 + length + end]
                tensors[name] = np.frombuffer(raw, types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write_pair(folder: pathlib.Path, model: str, scheme: Scheme, seed: int = 1) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a quantised folder, and a second folder with the dequantised values in F32."""
    rng = np.random.default_rng(seed)
    config = MODELS[model]
    quantised = plain_tensors(config, rng)
    twin = {name: value.astype(np.float32) for name, value in quantised.items()}
    for module, shape in linear_shapes(config).items():
        weight = rng.normal(0, shape[1] ** -0.5, shape).astype(np.float32)
        if not scheme.is_quantised(module):
            quantised[module + ".weight"] = weight.astype(np.float16)
            twin[module + ".weight"] = weight.astype(np.float16).astype(np.float32)
            continue
        integers = quantise(weight, scheme, rng)
        quantised |= parts(module, integers, scheme)
        twin[module + ".weight"] = integers.values()
    write_folder(folder / "quantised", config | {"quantization_config": scheme.quantization_config}, quantised)
    write_folder(folder / "twin", config, twin)
    return folder / "quantised", folder / "twin"
