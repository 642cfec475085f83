"""Reads and writes checkpoint folders with numpy, and computes the tensors that a GGUF of a folder must hold."""

import json
import pathlib
import struct

import gguf
import numpy as np

NEXTN = {"enorm": "ENORM", "hnorm": "HNORM", "eh_proj": "EH_PROJ", "shared_head.norm": "SHARED_HEAD_NORM"}
ARCHITECTURES = {"deepseek_v3": gguf.MODEL_ARCH.DEEPSEEK2, "llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}


def fp8_values() -> np.ndarray:
    """The 256 values of e4m3, without infinities."""
    bits = np.arange(256)
    exponent, mantissa = (bits >> 3) & 15, bits & 7
    magnitude = np.where(exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    magnitude[(bits & 127) == 127] = np.nan
    return np.where(bits & 128, -magnitude, magnitude).astype(np.float32)


def decode(raw: bytes, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    if dtype == "F8_E4M3":
        return fp8_values()[np.frombuffer(raw, np.uint8)]
    return np.frombuffer(raw, {"F32": np.float32, "F16": np.float16}[dtype]).astype(np.float32)


def read_checkpoint(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Every tensor in fp32; fp8 tensors are multiplied by their scales."""
    tensors = {}
    for path in folder.glob("model*.safetensors"):
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = (8 + length + offset for offset in entry["data_offsets"])
                tensors[name] = decode(data[begin:end], entry["dtype"]).reshape(entry["shape"])
    for name in [name for name in tensors if name.endswith("_scale_inv")]:
        scales = tensors.pop(name)
        weight = tensors[name.removesuffix("_scale_inv")]
        weight *= np.kron(scales, np.ones((128, 128), np.float32))[: weight.shape[0], : weight.shape[1]]
    return tensors


def write_checkpoint(folder: pathlib.Path, config: dict, tensors: dict[str, np.ndarray]) -> None:
    """The values as fp32."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, offset = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, offset + 4 * tensor.size]}
        offset += 4 * tensor.size
    text = json.dumps(header).encode()
    data = b"".join(tensor.astype(np.float32).tobytes() for tensor in tensors.values())
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def llama(hidden: int, vocab: int, seed: int = 1) -> tuple[dict, dict[str, np.ndarray]]:
    """A random llama model of two layers, with heads of 64."""
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", rms_norm_eps=1e-6,
                  max_position_embeddings=512, bos_token_id=0, eos_token_id=1, num_hidden_layers=2, rope_theta=10000.0,
                  hidden_size=hidden, intermediate_size=2 * hidden, num_attention_heads=max(1, hidden // 64),
                  num_key_value_heads=1, head_dim=min(64, hidden), vocab_size=vocab, tie_word_embeddings=False)
    rng = np.random.default_rng(seed)
    head = config["head_dim"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "lm_head.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        shapes |= {prefix + "input_layernorm.weight": (hidden,), prefix + "post_attention_layernorm.weight": (hidden,),
                   prefix + "self_attn.q_proj.weight": (hidden, hidden), prefix + "self_attn.k_proj.weight": (head, hidden),
                   prefix + "self_attn.v_proj.weight": (head, hidden), prefix + "self_attn.o_proj.weight": (hidden, hidden),
                   prefix + "mlp.gate_proj.weight": (2 * hidden, hidden), prefix + "mlp.up_proj.weight": (2 * hidden, hidden),
                   prefix + "mlp.down_proj.weight": (hidden, 2 * hidden)}
    return config, {name: rng.standard_normal(shape, dtype=np.float32) * 0.05 for name, shape in shapes.items()}


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Interleaves the two halves of each head's rope, as llama.cpp's converter does for llama."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def converted(config: dict, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors that llama.cpp's converter makes, from its own table of names and the changes in conversion/*.py.
    Of an MTP layer, without its copies of embedding and head."""
    layers, experts = config["num_hidden_layers"], config.get("n_routed_experts", 0)
    names = gguf.get_tensor_name_map(ARCHITECTURES[config["model_type"]], layers + 1)
    renamed: dict[str, np.ndarray] = {}

    def add(name: str, tensor: np.ndarray) -> None:
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert new is not None, name
        renamed[new] = tensor

    for name, tensor in tensors.items():
        mtp_part = name.removeprefix(f"model.layers.{layers}.").removesuffix(".weight")
        if mtp_part in NEXTN:
            new = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR[f"NEXTN_{NEXTN[mtp_part]}"]]
            renamed[new.format(bid=layers) + ".weight"] = tensor
        elif mtp_part in ("embed_tokens", "shared_head.head"):
            continue
        elif name.endswith("e_score_correction_bias"):
            add(name.replace("e_score_correction_bias", "e_score_correction.bias"), tensor)
        elif ".experts." in name:
            if ".experts.0." in name:
                add(name.replace(".experts.0.", ".experts."),
                    np.stack([tensors[name.replace(".experts.0.", f".experts.{i}.")] for i in range(experts)]))
        elif name.endswith("kv_b_proj.weight"):
            by_head = tensor.reshape(config["num_attention_heads"], -1, tensor.shape[1])
            key, value = np.split(by_head, [config["qk_nope_head_dim"]], axis=1)
            add(name.replace("kv_b_proj", "k_b_proj"), key.swapaxes(1, 2))
            add(name.replace("kv_b_proj", "v_b_proj"), value)
        elif config["model_type"] == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads" if name.endswith("q_proj.weight") else "num_key_value_heads"]
            add(name, permuted(tensor, heads))
        else:
            add(name, tensor)
    return renamed
