"""Makes random checkpoints with the tensor names, types and files of R1's checkpoint."""

import json
import math
import pathlib

import torch
from safetensors.torch import save_file

BLOCK = 128
E4M3_MAX = 448.0
# A layer adds values to the residual stream that are well below the stream's, as in trained models. So bf16 rounds little.
BRANCH_GAIN = 0.2


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """fp8 values, and the float32 scale of each 128x128 block: value = fp8 * scale."""
    rows, cols = weight.shape
    padded = torch.zeros(math.ceil(rows / BLOCK) * BLOCK, math.ceil(cols / BLOCK) * BLOCK)
    padded[:rows, :cols] = weight
    blocks = padded.view(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    scale = blocks.abs().amax(dim=(1, 3)) / E4M3_MAX
    fp8 = (blocks / scale[:, None, :, None]).view_as(padded)[:rows, :cols].to(torch.float8_e4m3fn)
    return fp8.contiguous(), scale


def dequantize(fp8: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    rows, cols = fp8.shape
    spread = scale.repeat_interleave(BLOCK, 0)[:rows].repeat_interleave(BLOCK, 1)[:, :cols]
    return fp8.float() * spread


class Checkpoint:
    """`stored`: the tensors of the files. `values`: the same numbers in float32, without scales."""

    def __init__(self, config: dict, dtype: str, generator: torch.Generator):
        self.config = config
        self.linear_dtype = dtype
        self.plain_dtype = torch.float32 if dtype == "f32" else torch.bfloat16
        self.generator = generator
        self.stored: dict[str, torch.Tensor] = {}
        self.values: dict[str, torch.Tensor] = {}
        self._fill()

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator)

    def _plain(self, name: str, value: torch.Tensor, dtype: torch.dtype | None = None) -> None:
        self.stored[name] = value.to(dtype or self.plain_dtype)
        self.values[name] = self.stored[name].float()

    def _linear(self, name: str, rows: int, cols: int, gain: float = 1.0) -> None:
        weight = self._random(rows, cols) * (gain / math.sqrt(cols))
        if self.linear_dtype != "fp8":
            self._plain(name, weight)
            return
        # Blocks have different magnitudes, so that a wrong scale gives wrong logits.
        for row in range(0, rows, BLOCK):
            for col in range(0, cols, BLOCK):
                weight[row : row + BLOCK, col : col + BLOCK] *= 0.5 + torch.rand(1, generator=self.generator)
        fp8, scale = quantize(weight)
        self.stored[name], self.stored[name + "_scale_inv"] = fp8, scale
        self.values[name] = dequantize(fp8, scale)

    def _norm(self, name: str, size: int) -> None:
        self._plain(name, 1 + 0.2 * self._random(size))

    def _feed_forward(self, prefix: str, width: int) -> None:
        hidden = self.config["hidden_size"]
        self._linear(prefix + "gate_proj.weight", width, hidden)
        self._linear(prefix + "up_proj.weight", width, hidden)
        self._linear(prefix + "down_proj.weight", hidden, width, BRANCH_GAIN)

    def _grouped_query_layer(self, prefix: str) -> None:
        c, attention = self.config, prefix + "self_attn."
        hidden, heads, kv_heads = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
        head_dim = c.get("head_dim", hidden // heads)
        self._norm(prefix + "input_layernorm.weight", hidden)
        self._norm(prefix + "post_attention_layernorm.weight", hidden)
        for name, rows in (("q_proj", heads), ("k_proj", kv_heads), ("v_proj", kv_heads)):
            self._linear(f"{attention}{name}.weight", rows * head_dim, hidden)
            if c["model_type"] == "qwen2":
                self._plain(f"{attention}{name}.bias", self._random(rows * head_dim))
        self._linear(attention + "o_proj.weight", hidden, heads * head_dim, BRANCH_GAIN)
        self._feed_forward(prefix + "mlp.", c["intermediate_size"])

    def _layer(self, layer: int) -> None:
        c, prefix = self.config, f"model.layers.{layer}."
        if c["model_type"] != "deepseek_v3":
            self._grouped_query_layer(prefix)
            return
        heads, rope, nope = c["num_attention_heads"], c["qk_rope_head_dim"], c["qk_nope_head_dim"]
        attention = prefix + "self_attn."
        self._norm(prefix + "input_layernorm.weight", c["hidden_size"])
        self._norm(prefix + "post_attention_layernorm.weight", c["hidden_size"])
        if c["q_lora_rank"] is None:
            self._linear(attention + "q_proj.weight", heads * (nope + rope), c["hidden_size"])
        else:
            self._linear(attention + "q_a_proj.weight", c["q_lora_rank"], c["hidden_size"])
            self._norm(attention + "q_a_layernorm.weight", c["q_lora_rank"])
            self._linear(attention + "q_b_proj.weight", heads * (nope + rope), c["q_lora_rank"])
        self._linear(attention + "kv_a_proj_with_mqa.weight", c["kv_lora_rank"] + rope, c["hidden_size"])
        self._norm(attention + "kv_a_layernorm.weight", c["kv_lora_rank"])
        self._linear(attention + "kv_b_proj.weight", heads * (nope + c["v_head_dim"]), c["kv_lora_rank"])
        self._linear(attention + "o_proj.weight", c["hidden_size"], heads * c["v_head_dim"], BRANCH_GAIN)

        mlp = prefix + "mlp."
        if layer < c["first_k_dense_replace"]:
            self._feed_forward(mlp, c["intermediate_size"])
            return
        # A gain of 2 spreads the scores, so that few experts are nearly tied.
        self._plain(mlp + "gate.weight",
                    self._random(c["n_routed_experts"], c["hidden_size"]) * (2 / math.sqrt(c["hidden_size"])))
        bias = 0.2 * self._random(c["n_routed_experts"])
        self._plain(mlp + "gate.e_score_correction_bias", bias, torch.float32)
        for expert in range(c["n_routed_experts"]):
            self._feed_forward(f"{mlp}experts.{expert}.", c["moe_intermediate_size"])
        self._feed_forward(mlp + "shared_experts.", c["moe_intermediate_size"] * c["n_shared_experts"])

    def _fill(self) -> None:
        c = self.config
        vocab, hidden = c["vocab_size"], c["hidden_size"]
        # A shared head prefers the input token itself; with smaller embeddings that does not decide every choice.
        embedding_gain = 0.5 if c["tie_word_embeddings"] else 1.0
        self._plain("model.embed_tokens.weight", embedding_gain * self._random(vocab, hidden))
        self._norm("model.norm.weight", hidden)
        if not c["tie_word_embeddings"]:
            self._plain("lm_head.weight", self._random(vocab, hidden) * (3 / math.sqrt(hidden)))
        for layer in range(c["num_hidden_layers"]):
            self._layer(layer)
        mtp_layers = c.get("num_nextn_predict_layers", 0)
        for layer in range(c["num_hidden_layers"], c["num_hidden_layers"] + mtp_layers):
            prefix = f"model.layers.{layer}."
            self._layer(layer)
            for norm in ("enorm", "hnorm", "shared_head.norm"):
                self._norm(f"{prefix}{norm}.weight", hidden)
            self._plain(prefix + "eh_proj.weight", self._random(hidden, 2 * hidden) / math.sqrt(2 * hidden))
            for copy, original in (("embed_tokens", "model.embed_tokens"), ("shared_head.head", "lm_head")):
                self.stored[f"{prefix}{copy}.weight"] = self.stored[f"{original}.weight"].clone()

    def save(self, folder: pathlib.Path) -> None:
        """Writes config.json and two shards with their index."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        names = list(self.stored)
        shards = {"model-00001-of-00002.safetensors": names[: len(names) // 2],
                  "model-00002-of-00002.safetensors": names[len(names) // 2 :]}
        for file, members in shards.items():
            save_file({name: self.stored[name].contiguous() for name in members}, folder / file,
                      metadata={"format": "pt"})
        index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in self.stored.values())},
                 "weight_map": {name: file for file, members in shards.items() for name in members}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=0) + "\n")

    def save_values(self, folder: pathlib.Path) -> None:
        """Writes the values for transformers: float32, without scales, without the multi-token-prediction layer."""
        config = {key: value for key, value in self.config.items() if key != "quantization_config"}
        (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 0}))
        last = self.config["num_hidden_layers"]
        kept = {name: value for name, value in self.values.items() if f"model.layers.{last}." not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
