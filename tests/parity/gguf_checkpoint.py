"""Converts Hugging Face checkpoints to GGUF as llama.cpp's converter does, in its newer and its older form.

Keys and tensor names come from the `gguf` package, so that they are independent of this project's reader.
"""

import json
import pathlib
import struct

import gguf
import numpy as np

BLOCK = 128  # rows and columns that share an fp8 scale
ARCHITECTURES = {"deepseek_v3": gguf.MODEL_ARCH.DEEPSEEK2, "llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}
NEXTN = {"embed_tokens": "EMBED_TOKENS", "enorm": "ENORM", "hnorm": "HNORM", "eh_proj": "EH_PROJ",
         "shared_head.norm": "SHARED_HEAD_NORM", "shared_head.head": "SHARED_HEAD_HEAD"}
Type = gguf.GGMLQuantizationType


def from_e4m3(bits: np.ndarray) -> np.ndarray:
    sign = np.where(bits & 0x80, -1.0, 1.0)
    exponent, mantissa = (bits >> 3) & 15, bits & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent.astype(int) - 10))
    return (sign * value).astype(np.float32)


def as_float32(dtype: str, raw: bytes) -> np.ndarray:
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F8_E4M3":
        return from_e4m3(np.frombuffer(raw, np.uint8))
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def read_values(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of the folder's model files as float32; fp8 values are multiplied by their scales."""
    stored = {}
    for file in sorted(folder.glob("model*.safetensors")):
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                values = as_float32(entry["dtype"], data[8 + length + begin : 8 + length + end])
                stored[name] = values.reshape(entry["shape"])
    for name, scale in [(name, value) for name, value in stored.items() if name.endswith("_scale_inv")]:
        weight = stored[name.removesuffix("_scale_inv")]
        spread = scale.repeat(BLOCK, 0)[: weight.shape[0]].repeat(BLOCK, 1)[:, : weight.shape[1]]
        stored[name.removesuffix("_scale_inv")] = weight * spread
        del stored[name]
    return stored


def write_folder(folder: pathlib.Path, config: dict, values: dict[str, np.ndarray]) -> None:
    """Writes a model folder with all values in F32."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, data = {}, bytearray()
    for name, value in values.items():
        raw = np.ascontiguousarray(value, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def add_keys(writer: gguf.GGUFWriter, config: dict, old: bool) -> None:
    c = config
    writer.add_block_count(c["num_hidden_layers"] + c.get("num_nextn_predict_layers", 0))
    if c.get("num_nextn_predict_layers", 0) > 0:
        writer.add_nextn_predict_layers(c["num_nextn_predict_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(c["rope_theta"])
    if c["model_type"] != "qwen2":
        writer.add_vocab_size(c["vocab_size"])
    writer.add_bos_token_id(c["bos_token_id"])
    writer.add_eos_token_id(c["eos_token_id"])
    rope = c.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type")) == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "mscale_all_dim" in rope:
            writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    if c["model_type"] == "deepseek_v3":
        add_deepseek_keys(writer, c, old)
        return
    writer.add_head_count_kv(c["num_key_value_heads"])
    head_dim = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
    if "head_dim" in c:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if c["model_type"] == "llama":
        writer.add_rope_dimension_count(head_dim)


def add_deepseek_keys(writer: gguf.GGUFWriter, c: dict, old: bool) -> None:
    latent, rope = c["kv_lora_rank"], c["qk_rope_head_dim"]
    head_dim = c["qk_nope_head_dim"] + rope
    if old:
        writer.add_head_count_kv(c["num_attention_heads"])
        writer.add_key_length(head_dim)
        writer.add_value_length(c["v_head_dim"])
    else:
        writer.add_head_count_kv(1)
        writer.add_key_length(latent + rope)
        writer.add_value_length(latent)
        writer.add_key_length_mla(head_dim)
        writer.add_value_length_mla(c["v_head_dim"])
    if c["q_lora_rank"] is not None:
        writer.add_q_lora_rank(c["q_lora_rank"])
    writer.add_kv_lora_rank(latent)
    writer.add_rope_dimension_count(rope)
    writer.add_leading_dense_block_count(c["first_k_dense_replace"])
    writer.add_expert_count(c["n_routed_experts"])
    writer.add_expert_used_count(c["num_experts_per_tok"])
    writer.add_expert_shared_count(c["n_shared_experts"])
    writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
    writer.add_expert_group_count(c["n_group"])
    writer.add_expert_group_used_count(c["topk_group"])
    writer.add_expert_weights_scale(c["routed_scaling_factor"])
    if c["norm_topk_prob"]:
        writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def in_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama's rows of queries and keys in GGUF's order: the two rows of a rotated pair are neighbours, not in two halves of a head."""
    return (weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2)
            .reshape(weight.shape))


def llama3_divisors(config: dict) -> np.ndarray:
    rope, dim = config["rope_scaling"], config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    frequencies = config["rope_theta"] ** -(np.arange(0, dim, 2) / dim)
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / (kept + (1 - kept) / rope["factor"])).astype(np.float32)


def nextn_name(name: str, layers: int) -> str | None:
    """The name in a GGUF of a tensor that only an MTP layer has. None: another tensor."""
    parts = name.split(".")
    own = ".".join(parts[3:-1])
    if not name.startswith("model.layers.") or int(parts[2]) < layers or own not in NEXTN:
        return None
    return gguf.TENSOR_NAMES[gguf.MODEL_TENSOR["NEXTN_" + NEXTN[own]]].format(bid=parts[2]) + ".weight"


def renamed(config: dict, values: dict[str, np.ndarray], old: bool) -> dict[str, np.ndarray]:
    """The tensors that the converter makes from a checkpoint's, with their names in a GGUF."""
    c, layers = config, config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(ARCHITECTURES[c["model_type"]], layers + c.get("num_nextn_predict_layers", 0))
    experts: dict[str, list[np.ndarray]] = {}
    converted: dict[str, np.ndarray] = {}
    for name, value in values.items():
        parts = name.split(".")
        if ".mlp.experts." in name:
            experts.setdefault(".".join(parts[:5] + parts[6:]), [None] * c["n_routed_experts"])[int(parts[5])] = value
        elif name.endswith("kv_b_proj.weight") and not old:
            heads = value.reshape(c["num_attention_heads"], -1, c["kv_lora_rank"])
            key, value = heads[:, : c["qk_nope_head_dim"]], heads[:, c["qk_nope_head_dim"] :]
            converted[name.replace("kv_b", "k_b")] = key.swapaxes(1, 2)
            converted[name.replace("kv_b", "v_b")] = value
        elif c["model_type"] == "llama" and "q_proj" in name:
            converted[name] = in_pairs(value, c["num_attention_heads"])
        elif c["model_type"] == "llama" and "k_proj" in name:
            converted[name] = in_pairs(value, c["num_key_value_heads"])
        else:
            converted[name.replace("e_score_correction_bias", "e_score_correction.bias")] = value
    converted |= {name: np.stack(members) for name, members in experts.items()}

    tensors = {}
    for name, value in converted.items():
        new_name = nextn_name(name, layers) or names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert new_name is not None, name
        tensors[new_name] = value
    if (c.get("rope_scaling") or {}).get("rope_type") == "llama3":
        tensors["rope_freqs.weight"] = llama3_divisors(c)
    return tensors


def stored_type(name: str, value: np.ndarray, wanted: Type) -> Type:
    """The type in which the converter stores a tensor: vectors and the router in F32; F16 if rows are not whole blocks."""
    if value.ndim == 1 or "ffn_gate_inp" in name:
        return Type.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if value.shape[-1] % block == 0 else Type.F16


def write_gguf(path: pathlib.Path, config: dict, values: dict[str, np.ndarray], wanted: Type, *, old: bool = False,
               split: int = 0, add_more=None) -> None:
    """Writes `values` in the type `wanted`. `old`: kv_b in one tensor. `split`: tensors in each file, 0 for one file.
    `add_more` may add keys to the writer."""
    arch = gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config["model_type"]]]
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=split)
    add_keys(writer, config, old)
    if add_more is not None:
        add_more(writer)
    for name, value in renamed(config, values, old).items():
        chosen = stored_type(name, value, wanted)
        data = gguf.quants.quantize(np.ascontiguousarray(value), chosen)
        writer.add_tensor(name, data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def values_of(path: pathlib.Path, config: dict, wanted: list[str], old: bool = False) -> dict[str, np.ndarray]:
    """A GGUF's values, dequantised by the `gguf` package, with a folder's names and order: the inverse of renamed()."""
    c = config
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
               for tensor in gguf.GGUFReader(path).tensors}
    layers = c["num_hidden_layers"]
    names = gguf.get_tensor_name_map(ARCHITECTURES[c["model_type"]], layers + c.get("num_nextn_predict_layers", 0))

    def stored(name: str) -> np.ndarray:
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        return tensors[nextn_name(name, layers) or names.get_name(name, try_suffixes=(".weight", ".bias"))]

    values = {}
    for name in wanted:
        parts = name.split(".")
        if ".mlp.experts." in name:
            values[name] = stored(".".join(parts[:5] + parts[6:]))[int(parts[5])]
        elif name.endswith("kv_b_proj.weight") and not old:
            key, value = stored(name.replace("kv_b", "k_b")), stored(name.replace("kv_b", "v_b"))
            values[name] = np.concatenate([key.swapaxes(1, 2), value], axis=1).reshape(-1, c["kv_lora_rank"])
        else:
            values[name] = stored(name)
            if c["model_type"] == "llama" and ("q_proj" in name or "k_proj" in name):
                heads = c["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
                values[name] = values[name][np.argsort(in_pairs(np.arange(len(values[name])), heads))]
    return values
