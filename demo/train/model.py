"""The demo model as a training module: R1's architecture, sized for a CPU.

The parts of R1's architecture are all here: multi-head latent attention with a compressed query and a shared rope key, YaRN,
sigmoid gating with a selection bias and group limits, shared experts, a dense first layer, and one MTP layer. `tokens` is flat,
sample after sample, with a list of groups of equal padded length (`Group`). Only attention uses the beginnings of samples.
"""
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "ep_size": 1,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 192,
    "initializer_range": 0.02,
    "intermediate_size": 384,
    "kv_lora_rank": 64,
    "max_position_embeddings": 2048,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 64,
    "moe_layer_freq": 1,
    "n_group": 4,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 8,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 5,
    "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1,
    "pretraining_tp": 1,
    "q_lora_rank": 96,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 32,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 4,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 512,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.46.3",
    "use_cache": True,
    "v_head_dim": 16,
    "vocab_size": 512,
}

FP8_MAX = 448.0
BLOCK = 128
GRAIN = 64


class Group(NamedTuple):
    """`count` samples of `length` tokens each, from row `start` of the flat batch on."""
    start: int
    count: int
    length: int


def quantize_blocks(weight):
    """fp8 e4m3 values and float32 scales of 128x128 blocks, for a stack [..., rows, columns]."""
    *lead, rows, cols = weight.shape
    padded = F.pad(weight, (0, -cols % BLOCK, 0, -rows % BLOCK))
    tiles = padded.reshape(*lead, padded.shape[-2] // BLOCK, BLOCK, padded.shape[-1] // BLOCK, BLOCK)
    scale = tiles.abs().amax(dim=(-3, -1)).clamp_min(1e-12) / FP8_MAX
    scaled = (tiles / scale[..., :, None, :, None]).reshape(padded.shape)[..., :rows, :cols]
    return scaled.to(torch.float8_e4m3fn), scale


def dequantize_blocks(values, scale):
    rows, cols = values.shape[-2:]
    spread = scale.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
    return values.float() * spread[..., :rows, :cols]


def fake_fp8(weight):
    """The value that the weight has after fp8 storage, with the gradient of the exact weight (straight-through)."""
    with torch.no_grad():
        error = dequantize_blocks(*quantize_blocks(weight)) - weight
    return weight + error


def yarn_frequencies(config):
    scaling, dim, base = config["rope_scaling"], config["qk_rope_head_dim"], config["rope_theta"]
    original = scaling["original_max_position_embeddings"]

    def dim_of(rotations):
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(dim_of(scaling["beta_fast"])), 0)
    high = min(math.ceil(dim_of(scaling["beta_slow"])), dim - 1)
    plain = base ** -(torch.arange(0, dim, 2).double() / dim)
    ramp = ((torch.arange(dim // 2).double() - low) / max(high - low, 1e-3)).clamp(0, 1)
    return plain / scaling["factor"] * ramp + plain * (1 - ramp)


def yarn_mscale(factor, mscale):
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def rotate_pairs(x, cos, sin):
    """Rotates neighbouring pairs; x is [..., length, heads, dim], cos and sin are [length, 1, dim / 2]."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.cat((even * cos - odd * sin, even * sin + odd * cos), dim=-1)


class Weight(nn.Module):
    """One linear weight or a stack of linear weights, named `<module>.weight`. `fp8`: stored as fp8."""

    def __init__(self, *shape, fp8=True, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape) * gain * shape[-1] ** -0.5)
        self.fp8, self.fake = fp8, False

    def value(self):
        return fake_fp8(self.weight) if self.fake and self.fp8 else self.weight

    def forward(self, x):
        return F.linear(x, self.value())


class Norm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.heads, self.nope, self.rope, self.v = (
            c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"])
        self.latent = c["kv_lora_rank"]
        self.q_a_proj = Weight(c["q_lora_rank"], hidden)
        self.q_a_layernorm = Norm(c["q_lora_rank"], eps)
        self.q_b_proj = Weight(self.heads * (self.nope + self.rope), c["q_lora_rank"])
        self.kv_a_proj_with_mqa = Weight(self.latent + self.rope, hidden)
        self.kv_a_layernorm = Norm(self.latent, eps)
        self.kv_b_proj = Weight(self.heads * (self.nope + self.v), self.latent)
        self.o_proj = Weight(hidden, self.heads * self.v, gain=0.3)
        mscale = yarn_mscale(c["rope_scaling"]["factor"], c["rope_scaling"]["mscale_all_dim"])
        self.scale = (self.nope + self.rope) ** -0.5 * mscale * mscale

    def forward(self, x, groups, cos, sin):
        n, h = x.shape[0], self.heads
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))).view(n, h, self.nope + self.rope)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split((self.latent, self.rope), dim=-1)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent)).view(n, h, self.nope + self.v)
        k_nope, v = kv.split((self.nope, self.v), dim=-1)
        q_nope, q_rope = q.split((self.nope, self.rope), dim=-1)
        q = torch.cat((q_nope, rotate_pairs(q_rope, cos, sin)), dim=-1)
        k_rope = rotate_pairs(k_rope[:, None], cos, sin).expand(n, h, self.rope)
        k = torch.cat((k_nope, k_rope), dim=-1)
        sizes = [g.count * g.length for g in groups]
        mixed = []
        for group, *qkv in zip(groups, q.split(sizes), k.split(sizes), v.split(sizes)):
            q_g, k_g, v_g = (t.view(group.count, group.length, h, -1).transpose(1, 2).flatten(0, 1) for t in qkv)
            future = torch.full((group.length, group.length), -1e4, dtype=q_g.dtype).triu(1)
            scores = torch.baddbmm(future, q_g, k_g.transpose(1, 2), alpha=self.scale)
            out = (scores.softmax(-1) @ v_g).unflatten(0, (group.count, h))
            mixed.append(out.transpose(1, 2).reshape(group.count * group.length, h * self.v))
        return self.o_proj(torch.cat(mixed))


class Mlp(nn.Module):
    def __init__(self, hidden, inner):
        super().__init__()
        self.gate_proj, self.up_proj = Weight(inner, hidden), Weight(inner, hidden)
        self.down_proj = Weight(hidden, inner, gain=0.3)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Dispatch(torch.autograd.Function):
    """The rows of x in slot order. The backward pass is a gather and a sum, without a scatter."""

    @staticmethod
    def forward(ctx, x, token_of_slot, slot_of_choice):
        ctx.save_for_backward(slot_of_choice)
        return x[token_of_slot]

    @staticmethod
    def backward(ctx, grad):
        (slot_of_choice,) = ctx.saved_tensors
        return grad[slot_of_choice].sum(1), None, None


class Combine(torch.autograd.Function):
    """The inverse of Dispatch: sums each token's rows."""

    @staticmethod
    def forward(ctx, rows, token_of_slot, slot_of_choice):
        ctx.save_for_backward(token_of_slot)
        return rows[slot_of_choice].sum(1)

    @staticmethod
    def backward(ctx, grad):
        (token_of_slot,) = ctx.saved_tensors
        return grad[token_of_slot], None, None


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.weight = nn.Parameter(torch.randn(c["n_routed_experts"], c["hidden_size"]) * c["hidden_size"] ** -0.5)
        self.register_buffer("e_score_correction_bias", torch.zeros(c["n_routed_experts"]))

    def forward(self, x):
        c = self.c
        with torch.autocast("cpu", enabled=False):
            scores = F.linear(x.float(), self.weight).sigmoid()
        with torch.no_grad():
            choice = scores + self.e_score_correction_bias
            grouped = choice.view(len(x), c["n_group"], -1)
            best = grouped.topk(2, dim=-1)[0].sum(-1).topk(c["topk_group"], dim=-1)[1]
            keep = torch.zeros(len(x), c["n_group"], dtype=torch.bool).scatter_(1, best, True)
            chosen = grouped.masked_fill(~keep[..., None], 0.0).flatten(1).topk(c["num_experts_per_tok"], dim=-1)[1]
        weights = scores.gather(1, chosen)
        return chosen, weights / weights.sum(-1, keepdim=True) * c["routed_scaling_factor"]


class Experts(nn.Module):
    def __init__(self, count, hidden, inner):
        super().__init__()
        self.gate_proj, self.up_proj = Weight(count, inner, hidden), Weight(count, inner, hidden)
        self.down_proj = Weight(count, hidden, inner, gain=0.3)

    def forward(self, x, chosen, weights):
        """Sorts the choices by expert into slots. Each expert's share is padded to a multiple of `GRAIN` rows, so that
        matrix shapes repeat and compiled kernels are reused."""
        tokens, k = chosen.shape
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        self.load = torch.bincount(flat, minlength=len(self.gate_proj.weight))
        padded = (self.load + GRAIN - 1) // GRAIN * GRAIN
        shift = (padded.cumsum(0) - padded) - (self.load.cumsum(0) - self.load)
        slots = torch.arange(len(flat)) + shift[flat[order]]
        slot_of_choice = torch.empty_like(order).index_put_((order,), slots).view(tokens, k)
        token_of_slot = torch.zeros(int(padded.sum()), dtype=torch.long).index_put_((slots,), order // k)
        scale = torch.zeros(len(token_of_slot)).index_put((slots,), weights.flatten()[order])

        gate_up = torch.cat((self.gate_proj.value(), self.up_proj.value()), dim=1).unbind(0)
        down = self.down_proj.value().unbind(0)
        inner = self.down_proj.weight.shape[-1]
        rows = []
        for part, gu, d in zip(Dispatch.apply(x, token_of_slot, slot_of_choice).split(padded.tolist()), gate_up, down):
            gate, up = F.linear(part, gu).split(inner, dim=1)
            rows.append(F.linear(F.silu(gate) * up, d))
        rows = torch.cat(rows) * scale[:, None].to(x.dtype)
        return Combine.apply(rows, token_of_slot, slot_of_choice)


class Moe(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden, inner = c["hidden_size"], c["moe_intermediate_size"]
        self.gate = Gate(c)
        self.experts = Experts(c["n_routed_experts"], hidden, inner)
        self.shared_experts = Mlp(hidden, inner * c["n_shared_experts"])

    def forward(self, x):
        return self.experts(x, *self.gate(x)) + self.shared_experts(x)

    @torch.no_grad()
    def balance(self, rate):
        """Balances without an auxiliary loss: moves the selection bias against the load. Only differences matter: min is 0."""
        load = self.experts.load.float()
        bias = self.gate.e_score_correction_bias
        bias += rate * torch.sign(load.mean() - load)
        bias -= bias.min().clone()


class Layer(nn.Module):
    def __init__(self, c, dense):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.input_layernorm, self.post_attention_layernorm = Norm(hidden, eps), Norm(hidden, eps)
        self.self_attn = Attention(c)
        self.mlp = Mlp(hidden, c["intermediate_size"]) if dense else Moe(c)

    def forward(self, x, groups, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), groups, cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Mtp(nn.Module):
    """Predicts the token after the next one from a hidden state and the next token, with the model's embedding and head."""

    def __init__(self, c):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.enorm, self.hnorm, self.norm = Norm(hidden, eps), Norm(hidden, eps), Norm(hidden, eps)
        self.eh_proj = Weight(hidden, 2 * hidden, fp8=False)
        self.layer = Layer(c, dense=False)

    def forward(self, next_embedded, hidden, groups, cos, sin):
        x = self.eh_proj(torch.cat((self.enorm(next_embedded), self.hnorm(hidden)), dim=-1))
        return self.norm(self.layer(x, groups, cos, sin))


class Model(nn.Module):
    def __init__(self, config=CONFIG):
        super().__init__()
        c = self.config = config
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=0.5)
        self.layers = nn.ModuleList(Layer(c, i < c["first_k_dense_replace"]) for i in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = Weight(c["vocab_size"], c["hidden_size"], fp8=False, gain=0.5)
        self.mtp = Mtp(c)
        angles = torch.outer(torch.arange(c["max_position_embeddings"]).double(), yarn_frequencies(c))
        self.register_buffer("cos", angles.cos().float()[:, None], persistent=False)
        self.register_buffer("sin", angles.sin().float()[:, None], persistent=False)

    def rope(self, groups):
        positions = torch.cat([torch.arange(g.length).repeat(g.count) for g in groups])
        return self.cos[positions], self.sin[positions]

    def forward(self, tokens, groups):
        """Hidden states after the final norm, one row for each token."""
        cos, sin = self.rope(groups)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, groups, cos, sin)
        return self.norm(x)

    def predict_second(self, tokens, hidden, groups):
        """MTP hidden states; row i reads hidden state i and token i + 1 (a sample's last row is meaningless).

        Embedding and trunk are detached: this loss trains the MTP layer alone.
        """
        cos, sin = self.rope(groups)
        return self.mtp(self.embed_tokens(tokens.roll(-1)).detach(), hidden.detach(), groups, cos, sin)

    def fake_quantize(self, on):
        for module in self.modules():
            if isinstance(module, Weight):
                module.fake = on

    def moes(self):
        return [m for m in self.modules() if isinstance(m, Moe)]
