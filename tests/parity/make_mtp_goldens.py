#!/usr/bin/env python3
"""Makes goldens/NAME/mtp.safetensors, for the goldens in NAMES: the logits of the checkpoint's MTP layer.

    pip install -r tests/parity/requirements.txt
    tests/parity/make_mtp_goldens.py         after make_goldens.py, whose checkpoints and tokens are read

transformers has no MTP layer. So its DeepseekV3DecoderLayer computes the layer, and the parts around it are written
here as the DeepSeek-V3 paper (arXiv:2412.19437, section 2.2) has them. For each prompt N
    tokens.N   int32 [length]: the prompt and the first tokens of its greedy continuation
    logits.N   float32 [length - 1, vocab]: row p has read the model's hidden state of position p and token p + 1
    clear.N    uint8, for each row of logits: 2 if rounding to bf16 must not change the row much, 1 if rounding to
               fp32 must not, else 0
    draft_logits.N  float32 [DRAFTS, vocab]: the first row is the last of logits; each later row has read the layer's
               own output of the row before, and the draft made there
    draft_clear.N   as clear.N, for the rows of draft_logits.N
    drafts.N   int32 [DRAFTS]: the best token of each of these rows
    drafts_clear.N  as clear.N, for these tokens
"""

import json
import pathlib
import tempfile

import torch
from safetensors.torch import load_file, save_file

from checkpoint import dequantize
from make_goldens import (BF16_MARGIN, FP32_MARGIN, FP32_ROUTING_MARGIN, GOLDENS, ROUTING_MARGIN, RoutingMargins, load,
                          relative_difference)

CONTINUATION = 6
CLEAR_BF16_ERROR = 0.007  # of bf16 from fp32; the tests allow 0.02, and other orders of sums round in other places
NAMES = ["mtp", "r1"]
DRAFTS = 3


class Mtp:
    """A model with its MTP layer. The layer is loaded as the model's last decoder layer, and then taken off."""

    def __init__(self, folder: pathlib.Path, dtype: torch.dtype):
        config = json.loads((folder / "config.json").read_text())
        self.layers = config["num_hidden_layers"]
        values = self._values(folder, config)
        own = f"model.layers.{self.layers}."
        parts = ("enorm", "hnorm", "eh_proj", "shared_head.norm")
        self.parts = {part: values.pop(f"{own}{part}.weight").to(dtype) for part in parts}
        for copy in ("embed_tokens", "shared_head.head"):
            values.pop(f"{own}{copy}.weight")
        config |= {"num_hidden_layers": self.layers + 1, "num_nextn_predict_layers": 0}
        with tempfile.TemporaryDirectory() as temporary:
            target = pathlib.Path(temporary)
            (target / "config.json").write_text(json.dumps(config))
            save_file(values, target / "model.safetensors", metadata={"format": "pt"})
            self.model = load(target, dtype)
        self.model.config.num_hidden_layers = self.layers
        self.layer = self.model.model.layers[self.layers]
        self.margins = RoutingMargins(self.model)  # of the model's layers and the MTP layer
        self.eps, self.dtype = config["rms_norm_eps"], dtype

    @staticmethod
    def _values(folder: pathlib.Path, config: dict) -> dict[str, torch.Tensor]:
        config.pop("quantization_config", None)
        stored: dict[str, torch.Tensor] = {}
        for file in sorted(folder.glob("model*.safetensors")):
            stored |= load_file(file)
        values = {}
        for name, tensor in stored.items():
            scale = stored.get(name + "_scale_inv")
            if not name.endswith("_scale_inv"):
                values[name] = tensor.float() if scale is None else dequantize(tensor, scale)
        return values

    def _norm(self, x: torch.Tensor, weight: str) -> torch.Tensor:
        exact = x if x.dtype == torch.float64 else x.float()
        normed = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.parts[weight] * normed.to(x.dtype)

    def _input(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        embedded = self._norm(self.model.model.embed_tokens(tokens), "enorm")
        return torch.cat((embedded, self._norm(hidden, "hnorm")), dim=-1) @ self.parts["eh_proj"].T

    def _layer(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[0]
        positions = torch.arange(length)[None]
        mask = torch.full((length, length), torch.finfo(x.dtype).min, dtype=x.dtype).triu(1)[None, None]
        return self.layer(x[None], attention_mask=mask, position_ids=positions,
                          position_embeddings=self.model.model.rotary_emb(x[None], positions))[0]

    @torch.no_grad()
    def run(self, tokens: torch.Tensor):
        """Logits of all rows, with those of the drafts after the first last; and the routing margin of each."""
        hidden = self.model.model(input_ids=tokens[None, :-1], use_cache=False).last_hidden_state[0]
        inputs = self._input(hidden, tokens[1:])
        model_margins = self.margins.take(1)[0]
        for draft in range(DRAFTS):
            output = self._norm(self._layer(inputs), "shared_head.norm")
            margins = self.margins.take(1)[0]
            logits = self.model.lm_head(output).float()
            if draft + 1 < DRAFTS:
                inputs = torch.cat((inputs, self._input(output[-1:], logits[-1].argmax()[None])))
        margins[:len(model_margins)] = torch.minimum(margins[:len(model_margins)], model_margins)
        return logits, margins


def golden_of(name: str) -> dict[str, torch.Tensor]:
    folder = GOLDENS / name
    main = load_file(folder / "golden.safetensors")
    exact, rounded, double = (Mtp(folder, dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64))
    tensors: dict[str, torch.Tensor] = {}
    for index in range(sum(key.startswith("prompt.") for key in main)):
        tokens = torch.cat((main[f"prompt.{index}"], main[f"greedy.{index}"][:CONTINUATION])).long()
        logits, margins = exact.run(tokens)
        rounded_logits, _ = rounded.run(tokens)
        precise, _ = double.run(tokens)
        clear = torch.zeros(len(logits), dtype=torch.uint8)
        for row in range(len(logits)):
            if margins[row] < FP32_ROUTING_MARGIN:
                continue
            difference = relative_difference(logits[row:row + 1], precise[row:row + 1])
            assert difference < 2e-5, f"{name} prompt {index} row {row}: fp32 differs from fp64 by {difference}"
            error = relative_difference(rounded_logits[row:row + 1], logits[row:row + 1])
            exact_enough = error <= CLEAR_BF16_ERROR
            clear[row] = 2 if exact_enough and margins[row] >= ROUTING_MARGIN else 1
        rows = len(logits) - DRAFTS + 1
        drafts_clear = torch.zeros(DRAFTS, dtype=torch.uint8)
        for draft, row in enumerate(range(rows - 1, len(logits))):
            if draft > 0:  # depends on the draft and the row before
                clear[row] = min(clear[row], drafts_clear[draft - 1])
            best = logits[row].topk(2).values
            margin = ((best[0] - best[1]) / logits[row].abs().max()).item()
            drafts_clear[draft] = min(clear[row], 2 if margin >= BF16_MARGIN else 1 if margin >= FP32_MARGIN else 0)
        print(f"{name} prompt {index}: {rows} rows, clear in fp32 {int((clear[:rows] > 0).sum())}, in bf16 "
              f"{int((clear[:rows] > 1).sum())}; drafts {clear[rows - 1:].tolist()} {drafts_clear.tolist()}", flush=True)
        tensors |= {f"tokens.{index}": tokens.to(torch.int32), f"logits.{index}": logits[:rows].clone(),
                    f"clear.{index}": clear[:rows].clone(), f"draft_logits.{index}": logits[rows - 1:].clone(),
                    f"draft_clear.{index}": clear[rows - 1:].clone(),
                    f"drafts.{index}": logits[rows - 1:].argmax(-1).to(torch.int32),
                    f"drafts_clear.{index}": drafts_clear}
    return tensors


def main() -> None:
    torch.set_num_threads(1)
    for name in NAMES:
        save_file(golden_of(name), GOLDENS / name / "mtp.safetensors")


if __name__ == "__main__":
    main()
