#!/usr/bin/env python3
"""Makes tests/parity/goldens: small checkpoints and the results of transformers for them (DeepseekV3ForCausalLM, and
for the distills LlamaForCausalLM and Qwen2ForCausalLM).

    pip install -r tests/parity/requirements.txt
    tests/parity/make_goldens.py [NAME ...]          all configurations, or the named ones
    tests/parity/make_goldens.py --demo              the demo model's golden; needed after each change of demo/model

Each folder holds a checkpoint in R1's format and golden.safetensors, which has for each prompt N
    prompt.N       int32 [length]
    logits.N       float32 [length, vocab]: fp32 compute
    greedy.N       int32 [20]: the next tokens by greedy decoding, fp32 compute
    bf16_logits.N  float32 [vocab]: of the last position, bf16 compute
    bf16_greedy.N  int32 [20]: the next tokens by greedy decoding, bf16 compute
    bf16_clear.N   uint8 [20]: 1 if rounding must not change this token of bf16_greedy
Weights and prompts are random. Prompts with nearly tied experts or tokens are left out, because rounding alone would
change their results.
"""

import argparse
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, DeepseekV3ForCausalLM, DynamicCache
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from checkpoint import Checkpoint, dequantize
from configurations import CONFIGURATIONS
from distills import DISTILLS

HERE = pathlib.Path(__file__).resolve().parent
MODELS = CONFIGURATIONS | DISTILLS
GOLDENS = HERE / "goldens"
DEMO_MODEL = HERE.parents[1] / "demo" / "model"
DEMO_GOLDEN = HERE / "demo_model.safetensors"
DEMO_PROMPTS = 5
DEMO_QUESTIONS = [  # more than needed: questions whose routing is nearly tied are left out
    "What is 123 + 456?",
    "What is 48293 - 7519?",
    "What is 37 * 24?",
    "Sort these numbers: 42, 7, 19, 3.",
    "Which is larger, 512 or 498?",
    "How many r's are in strawberry?",
    "What is 9001 + 77?",
    "What is 650 - 381?",
    "What is 12 * 999?",
    "Which is smaller, 31 or 13?",
    "Sort these numbers: 905, 14, 266.",
    "How many e's are in cheese?",
    "Who are you?",
    "What is 5 + 8?",
]
GREEDY_TOKENS = 20
CANDIDATES = 24        # tokens tried for each place of a prompt
ROUTING_MARGIN = 0.02  # of gate scores, which are in [0, 1]: several times the error of bf16
FP32_ROUTING_MARGIN = 1e-4
DEMO_ROUTING_MARGIN = 4e-6  # near ties are common, because training balances the experts
FP32_MARGIN = 1e-3     # of logits, relative to the largest: ten times the tolerance of the tests
BF16_MARGIN = 0.05
BF16_ERROR = 0.015     # the largest difference of bf16 from fp32 here; the tests allow 0.02


class RoutingMargins:
    """[batch, positions]: the least distance, over the layers, between the chosen experts' scores and the others'."""

    def __init__(self, model: DeepseekV3ForCausalLM):
        self.least: torch.Tensor | None = None
        for module in model.modules():
            if isinstance(module, DeepseekV3TopkRouter):
                module.register_forward_hook(self._see)

    def _see(self, gate: DeepseekV3TopkRouter, inputs, outputs) -> None:
        scores = outputs[0].sigmoid() + gate.e_score_correction_bias
        groups = scores.view(-1, gate.num_group, gate.num_experts // gate.num_group)
        group_scores = groups.topk(2, dim=-1)[0].sum(dim=-1)
        margin = torch.full(scores.shape[:1], torch.inf)
        if gate.topk_group < gate.num_group:
            best = group_scores.topk(gate.topk_group + 1, dim=-1)[0]
            margin = best[:, -2] - best[:, -1]
        chosen = group_scores.topk(gate.topk_group, dim=-1)[1]
        outside = torch.ones_like(group_scores, dtype=torch.bool).scatter(1, chosen, False)
        within = groups.masked_fill(outside[..., None], -torch.inf).flatten(1)
        best = within.topk(gate.top_k + 1, dim=-1)[0]
        margin = torch.minimum(margin, best[:, -2] - best[:, -1])
        self.least = margin if self.least is None else torch.minimum(self.least, margin)

    def take(self, batch: int) -> torch.Tensor:
        least, self.least = self.least, None
        return least.view(batch, -1) if least is not None else torch.full((batch, 1), torch.inf)


def load(folder: pathlib.Path, dtype: torch.dtype):
    is_r1 = json.loads((folder / "config.json").read_text())["model_type"] == "deepseek_v3"
    experts = dict(experts_implementation="eager") if is_r1 else {}
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True, **experts)
    problems = {key: value for key, value in report.items() if value}
    assert not problems, problems
    return model.eval()


def logits_of(model: DeepseekV3ForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits.float()


def relative_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference divided by the largest logit, at the worst position."""
    return ((a - b).abs().amax(-1) / b.abs().amax(-1)).max().item()


def choose_prompt(model, margins: RoutingMargins, length: int, generator: torch.Generator) -> list[int]:
    """A random prompt. Each token is the first random candidate that no gate routes with a near tie."""
    prompt: list[int] = []
    cache = DynamicCache(config=model.config)
    for _ in range(length):
        candidates = torch.randint(2, model.config.vocab_size, (CANDIDATES, 1), generator=generator)
        if prompt:
            cache.batch_repeat_interleave(CANDIDATES)
        margins.take(CANDIDATES)
        with torch.no_grad():
            model(input_ids=candidates, past_key_values=cache)
        margin = margins.take(CANDIDATES)[:, -1]  # infinite without experts
        clear = (margin >= ROUTING_MARGIN).nonzero()
        best = clear[:1, 0] if len(clear) else margin.argmax()[None]
        cache.batch_select_indices(best)
        prompt.append(int(candidates[best, 0]))
    return prompt


def continue_greedily(model, margins: RoutingMargins, prompt: list[int]):
    """Tokens, the relative distance of each token's logit to the second best, and the routing margin at each place."""
    cache = DynamicCache(config=model.config)
    tokens, logit_margins, routing_margins = [], [], []
    ids = torch.tensor([prompt])
    for _ in range(GREEDY_TOKENS):
        margins.take(1)
        with torch.no_grad():
            logits = model(input_ids=ids, past_key_values=cache).logits[0, -1].float()
        routing_margins.append(margins.take(1)[0, -1].item())
        best = logits.topk(2)
        logit_margins.append(((best.values[0] - best.values[1]) / logits.abs().max()).item())
        tokens.append(int(best.indices[0]))
        ids = torch.tensor([tokens[-1:]])
    return tokens, torch.tensor(logit_margins), torch.tensor(routing_margins)


def golden_of_prompt(exact, rounded, exact_margins, rounded_margins, prompt: list[int]):
    """The golden tensors of a prompt. None: experts or tokens are nearly tied."""
    ids = torch.tensor([prompt])
    logits = logits_of(exact, ids)[0]
    greedy, margin, routing = continue_greedily(exact, exact_margins, prompt)
    if margin.min() < FP32_MARGIN or routing.min() < FP32_ROUTING_MARGIN:
        print(f"  margins {margin.min():.5f} {routing.min():.5f}", flush=True)
        return None
    rounded_logits = logits_of(rounded, ids)[0]
    error = relative_difference(rounded_logits, logits)
    if error > BF16_ERROR:
        print(f"  bf16 differs by {error:.4f}", flush=True)
        return None
    rounded_greedy, margin, routing = continue_greedily(rounded, rounded_margins, prompt)
    clear = (margin >= BF16_MARGIN) & (routing >= ROUTING_MARGIN)
    print(f"  {len(prompt)} tokens: bf16 differs by {error:.4f}, {int(clear.sum())} of {GREEDY_TOKENS} clear,"
          f" logits to {logits.abs().max():.1f}", flush=True)
    return {
        "prompt": torch.tensor(prompt, dtype=torch.int32),
        "logits": logits,
        "greedy": torch.tensor(greedy, dtype=torch.int32),
        "bf16_logits": rounded_logits[-1].clone(),
        "bf16_greedy": torch.tensor(rounded_greedy, dtype=torch.int32),
        "bf16_clear": clear.to(torch.uint8),
    }


def check_against_float64(folder: pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    """Checks that the golden logits do not depend on fp32's rounding."""
    model = load(folder, torch.float64)
    for index in range(sum(name.startswith("prompt.") for name in tensors)):
        logits = logits_of(model, tensors[f"prompt.{index}"].long()[None])[0]
        difference = relative_difference(tensors[f"logits.{index}"], logits)
        assert difference < 2e-5, f"prompt {index}: fp32 differs from fp64 by {difference}"


def make(name: str) -> None:
    described = MODELS[name]
    print(name, flush=True)
    generator = torch.Generator().manual_seed(described["seed"])
    checkpoint = Checkpoint(described["config"], described["dtype"], generator)
    with tempfile.TemporaryDirectory() as temporary:
        values = pathlib.Path(temporary)
        checkpoint.save_values(values)
        exact, rounded = load(values, torch.float32), load(values, torch.bfloat16)
        exact_margins, rounded_margins = RoutingMargins(exact), RoutingMargins(rounded)
        tensors: dict[str, torch.Tensor] = {}
        for index, length in enumerate(described["prompts"]):
            golden = None
            while golden is None:
                prompt = choose_prompt(exact, exact_margins, length, generator)
                golden = golden_of_prompt(exact, rounded, exact_margins, rounded_margins, prompt)
            tensors |= {f"{kind}.{index}": tensor for kind, tensor in golden.items()}
        check_against_float64(values, tensors)
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    checkpoint.save(folder)
    save_file(tensors, folder / "golden.safetensors")


def values_of(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a checkpoint for transformers: dequantised, without the multi-token-prediction layer."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("quantization_config", None)
    stored: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored |= load_file(file)
    last = f"model.layers.{config['num_hidden_layers']}."
    values = {}
    for name, tensor in stored.items():
        if name.startswith(last) or name.endswith("_scale_inv"):
            continue
        scale = stored.get(name + "_scale_inv")
        values[name] = tensor.float() if scale is None else dequantize(tensor, scale)
    (target / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 0}))
    save_file(values, target / "model.safetensors", metadata={"format": "pt"})


def make_demo() -> None:
    """fp32 only, because the routing of these prompts may be nearly tied. The stored final norm identifies the training."""
    tokenizer = Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json"))
    with tempfile.TemporaryDirectory() as temporary:
        values = pathlib.Path(temporary)
        values_of(DEMO_MODEL, values)
        exact = load(values, torch.float32)
        margins = RoutingMargins(exact)
        tensors = {"model.norm.weight": exact.model.norm.weight.detach().to(torch.bfloat16)}
        index = 0
        for question in DEMO_QUESTIONS:
            text = f"<｜begin▁of▁sentence｜><｜User｜>{question}<｜Assistant｜><think>\n"
            prompt = tokenizer.encode(text, add_special_tokens=False).ids
            margins.take(1)
            logits = logits_of(exact, torch.tensor([prompt]))[0]
            routing = margins.take(1).min()
            greedy, margin, _ = continue_greedily(exact, margins, prompt)
            print(f"{question} {tokenizer.decode(greedy)!r}: margins {routing:.1e} {margin.min():.1e}",
                  flush=True)
            if index == DEMO_PROMPTS or routing < DEMO_ROUTING_MARGIN or margin.min() < FP32_MARGIN:
                continue
            tensors[f"prompt.{index}"] = torch.tensor(prompt, dtype=torch.int32)
            tensors[f"logits.{index}"] = logits
            tensors[f"greedy.{index}"] = torch.tensor(greedy, dtype=torch.int32)
            index += 1
        assert index == DEMO_PROMPTS, "too many questions are nearly tied: add some"
        check_against_float64(values, tensors)
    save_file(tensors, DEMO_GOLDEN)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *MODELS], metavar="NAME")
    parser.add_argument("--demo", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.demo:
        make_demo()
        return
    for name in arguments.names or MODELS:
        make(name)


if __name__ == "__main__":
    main()
