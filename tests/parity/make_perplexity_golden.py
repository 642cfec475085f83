#!/usr/bin/env python3
"""Writes perplexity.json: the results of transformers for perplexity.txt with the demo model, in fp32.

    pip install -r tests/parity/requirements.txt
    tests/parity/make_perplexity_golden.py        needed after each change of demo/model or of the text

The demo model is compared with a second model: the same weights with another routed_scaling_factor, which give other
numbers.
"""

import json
import math
import pathlib
import tempfile

import torch
from tokenizers import Tokenizer

from make_goldens import DEMO_MODEL, HERE, load, logits_of, values_of

CONTEXT = 128
OTHER_SCALING = 2.0


def windows_of(tokenizer):
    """The windows of llama.cpp: full windows, with the first token of each replaced by bos."""
    bos = tokenizer.token_to_id("<｜begin▁of▁sentence｜>")
    text = (HERE / "perplexity.txt").read_text()
    ids = [bos] + tokenizer.encode(text, add_special_tokens=False).ids
    return [[bos] + ids[begin + 1:begin + CONTEXT] for begin in range(0, len(ids) - CONTEXT + 1, CONTEXT)]


def scores_of(folder, windows):
    """Log-softmax in float64 at every position whose next token is scored, and the next tokens."""
    model = load(folder, torch.float32)
    logprobs, tokens = [], []
    for window in windows:
        logits = logits_of(model, torch.tensor([window]))[0]
        logprobs.append(torch.log_softmax(logits.double(), dim=-1)[CONTEXT // 2:-1])
        tokens += window[CONTEXT // 2 + 1:]
    return torch.cat(logprobs), torch.tensor(tokens)


def mean_and_error(values):
    mean = values.mean()
    return mean.item(), math.sqrt(((values**2).mean() - mean**2).item() / (len(values) - 1))


def main():
    torch.set_num_threads(1)
    windows = windows_of(Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json")))
    golden = {"context": CONTEXT, "windows": len(windows), "other_routed_scaling_factor": OTHER_SCALING}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        values_of(DEMO_MODEL, folder)
        reference, tokens = scores_of(folder, windows)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"routed_scaling_factor": OTHER_SCALING}))
        other, _ = scores_of(folder, windows)
    golden["tokens"] = len(tokens)
    for name, logprobs in (("demo", reference), ("other", other)):
        loss, error = mean_and_error(-logprobs.gather(1, tokens[:, None])[:, 0])
        golden[name] = {"perplexity": math.exp(loss), "error": math.exp(loss) * error}
    kl, kl_error = mean_and_error((reference.exp() * (reference - other)).sum(dim=-1))
    same, same_error = mean_and_error((reference.argmax(dim=-1) == other.argmax(dim=-1)).double())
    golden |= {"kl": kl, "kl_error": kl_error, "same_top": same, "same_top_error": same_error}
    (HERE / "perplexity.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
