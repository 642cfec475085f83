"""A slice as a Hugging Face folder in R1's own format: fp8 with a scale for each block of 128x128."""
import json
import pathlib
import shutil

import numpy as np

from shape import DEMO_TOKENIZER, tensors_of

BLOCK = 128
POOL = 1 << 24
NAMES = {"F8_E4M3": 1, "F32": 4, "BF16": 2}


def e4m3_values():
    """The value of each code, NaN where there is none."""
    codes = np.arange(256)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    values = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0**(exponent - 7.0))
    return np.where(codes & 127 == 127, np.nan, np.where(codes < 128, values, -values))


def normal_codes(rng):
    """Codes of normal values, which weights are drawn from, and the values' standard deviation."""
    values = e4m3_values()
    codes = np.flatnonzero(~np.isnan(values))
    codes = codes[np.argsort(values[codes], kind="stable")]
    wanted = rng.normal(0, 64, POOL).astype(np.float32)
    pool = codes[np.searchsorted(values[codes], np.clip(wanted, -448, 448)).clip(0, len(codes) - 1)]
    return pool.astype(np.uint8), float(np.nanstd(values[pool]))


def bf16(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def config_of(shape):
    keys = dict(vars(shape))
    keys.update(architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3", hidden_act="silu",
                num_key_value_heads=shape.num_attention_heads, num_nextn_predict_layers=0, attention_bias=False,
                norm_topk_prob=True, scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1,
                tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=0, eos_token_id=1,
                quantization_config={"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                     "weight_block_size": [BLOCK, BLOCK]},
                rope_scaling={"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
                              "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0})
    return keys


class Tensors:
    """Every stored tensor: its type and shape, and its bytes when they are wanted."""

    def __init__(self, shape, rng):
        self.rng = rng
        self.pool, self.deviation = normal_codes(rng)
        self.entries = []  # (name, type, shape, function that makes the bytes)
        for tensor in tensors_of(shape):
            name = tensor.hugging_face
            if "{}" in name:
                for expert in range(tensor.shape[0]):
                    self._add_fp8(name.format(expert), tensor.shape[1:])
            elif not name:
                continue  # only GGUF has it
            elif tensor.kind == "matrix" and not name.startswith(("model.embed", "lm_head")):
                self._add_fp8(name, tensor.shape)
            else:
                self._add_plain(tensor)

    def _add_fp8(self, name, dims):
        blocks = tuple(-(-n // BLOCK) for n in dims)
        scale = np.float32(1 / np.sqrt(dims[-1]) / self.deviation)
        self.entries.append((name, "F8_E4M3", dims, lambda: self._codes(int(np.prod(dims)))))
        self.entries.append((name + "_scale_inv", "F32", blocks, lambda: np.full(blocks, scale, np.float32)))

    def _add_plain(self, tensor):
        name, dims = tensor.hugging_face, tensor.shape
        if tensor.kind == "bias":
            self.entries.append((name, "F32", dims, lambda: self.rng.normal(0, 0.02, dims).astype(np.float32)))
            return
        mean, deviation = (1, 0.05) if tensor.kind == "norm" else (0, 1 / np.sqrt(dims[-1]))
        self.entries.append((name, "BF16", dims, lambda: bf16(self.rng.normal(mean, deviation, dims))))

    def _codes(self, count):
        out = np.empty(count, np.uint8)
        for begin in range(0, count, POOL // 2):  # runs of the pool from random places
            size, place = min(POOL // 2, count - begin), int(self.rng.integers(0, POOL // 2))
            out[begin:begin + size] = self.pool[place:place + size]
        return out


def write_folder(path, shape, rng):
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    entries = Tensors(shape, rng).entries
    header, offset = {}, 0
    for name, kind, dims, _ in entries:
        size = NAMES[kind] * int(np.prod(dims))
        header[name] = {"dtype": kind, "shape": list(dims), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for *_, make in entries:
            make().tofile(file)
    (folder / "config.json").write_text(json.dumps(config_of(shape), indent=2))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(DEMO_TOKENIZER.parent / name, folder / name)
