"""An R1 slice: DeepSeek R1's layers at their real sizes, few of them, with fewer experts and the demo model's tokens.

What a token costs in each layer, and which part of it is attention, dense or routed, is R1's own; what a slice lacks
is the other layers and the output over 129,280 tokens.
"""
import dataclasses
import json
import pathlib

DEMO_TOKENIZER = pathlib.Path(__file__).resolve().parents[2] / "demo" / "model" / "tokenizer.json"


@dataclasses.dataclass
class Shape:
    """Keys of R1's config.json, with its values."""
    hidden_size: int = 7168
    intermediate_size: int = 18432
    moe_intermediate_size: int = 2048
    num_hidden_layers: int = 3
    first_k_dense_replace: int = 1
    n_routed_experts: int = 32  # R1: 256
    num_experts_per_tok: int = 8
    n_shared_experts: int = 1
    n_group: int = 8
    topk_group: int = 4
    num_attention_heads: int = 128
    q_lora_rank: int = 1536
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    vocab_size: int = 512  # R1: 129280; the demo model's
    max_position_embeddings: int = 163840
    rope_theta: float = 10000.0
    routed_scaling_factor: float = 2.5
    rms_norm_eps: float = 1e-6


@dataclasses.dataclass
class Tensor:
    """A tensor by its name in a GGUF file and in a Hugging Face folder."""
    gguf: str          # "" where that form has it in another shape
    hugging_face: str
    shape: tuple           # row-major; the last dimension is summed over
    kind: str = "matrix"   # matrix: in the slice's type; wide: where few bits would hurt; norm, router, bias: F32


def tensors_of(shape):
    """Every tensor in the order of the file; experts are stacked, an expert's name has {} for its number."""
    h, heads = shape.hidden_size, shape.num_attention_heads
    qk = shape.qk_nope_head_dim + shape.qk_rope_head_dim
    yield Tensor("token_embd.weight", "model.embed_tokens.weight", (shape.vocab_size, h))
    for i in range(shape.num_hidden_layers):
        def tensor(gguf, hugging_face, *dims, kind="matrix"):
            return Tensor(gguf and f"blk.{i}.{gguf}", hugging_face and f"model.layers.{i}.{hugging_face}", dims, kind)

        yield tensor("attn_norm.weight", "input_layernorm.weight", h, kind="norm")
        yield tensor("attn_q_a.weight", "self_attn.q_a_proj.weight", shape.q_lora_rank, h)
        yield tensor("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", shape.q_lora_rank, kind="norm")
        yield tensor("attn_q_b.weight", "self_attn.q_b_proj.weight", heads * qk, shape.q_lora_rank)
        yield tensor("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight",
                     shape.kv_lora_rank + shape.qk_rope_head_dim, h)
        yield tensor("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", shape.kv_lora_rank, kind="norm")
        # GGUF holds kv_b as two: keys, transposed for the absorbed product, and values, a matrix for each head.
        yield tensor("attn_k_b.weight", "", heads, shape.kv_lora_rank, shape.qk_nope_head_dim, kind="wide")
        yield tensor("attn_v_b.weight", "", heads, shape.v_head_dim, shape.kv_lora_rank, kind="wide")
        yield tensor("", "self_attn.kv_b_proj.weight", heads * (shape.qk_nope_head_dim + shape.v_head_dim),
                     shape.kv_lora_rank)
        yield tensor("attn_output.weight", "self_attn.o_proj.weight", h, heads * shape.v_head_dim)
        yield tensor("ffn_norm.weight", "post_attention_layernorm.weight", h, kind="norm")
        if i < shape.first_k_dense_replace:
            yield tensor("ffn_gate.weight", "mlp.gate_proj.weight", shape.intermediate_size, h)
            yield tensor("ffn_up.weight", "mlp.up_proj.weight", shape.intermediate_size, h)
            yield tensor("ffn_down.weight", "mlp.down_proj.weight", h, shape.intermediate_size)
            continue
        experts, width = shape.n_routed_experts, shape.moe_intermediate_size
        yield tensor("ffn_gate_inp.weight", "mlp.gate.weight", experts, h, kind="router")
        yield tensor("exp_probs_b.bias", "mlp.gate.e_score_correction_bias", experts, kind="bias")
        for part, rows, cols in (("gate", width, h), ("up", width, h), ("down", h, width)):
            yield tensor(f"ffn_{part}_exps.weight", f"mlp.experts.{{}}.{part}_proj.weight", experts, rows, cols)
        shared = width * shape.n_shared_experts
        for part, rows, cols in (("gate", shared, h), ("up", shared, h), ("down", h, shared)):
            yield tensor(f"ffn_{part}_shexp.weight", f"mlp.shared_experts.{part}_proj.weight", rows, cols)
    yield Tensor("output_norm.weight", "model.norm.weight", (h,), "norm")
    yield Tensor("output.weight", "lm_head.weight", (shape.vocab_size, h))


def demo_tokens(vocab_size):
    """The demo tokenizer as (tokens by id, added tokens, merges); ids beyond it are unused."""
    tokenizer = json.loads(DEMO_TOKENIZER.read_text())
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    for token, number in {**tokenizer["model"]["vocab"], **added}.items():
        tokens[number] = token
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in tokenizer["model"]["merges"]]
    return tokens, added, merges
