#!/usr/bin/env python3
"""Checks that llama.cpp reads the files that `deeprack quantize` writes and computes the same logits and token ids.

    python3 -m venv build/llama && build/llama/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0 safetensors
    build/llama/bin/python tests/parity/check_llama_cpp.py [--bin build/bin/deeprack]

Run it by hand: llama-cpp-python has no wheels, and building it takes about 20 minutes on one core. The script checks:
  - the goldens and the demo model as F16 and Q8_0: llama.cpp's logits are those of transformers (golden.safetensors)
    up to the error of the type;
  - every type on a model whose rows are long enough for K-quants: llama.cpp's logits of the file and of the same file
    expanded to F16 by this project agree up to the error of llama.cpp's quantised activations;
  - the tokenizer: llama.cpp's ids of some texts are those of tokenizer.json.
llama.cpp cannot read two kinds of goldens: those without q_lora_rank (it requires one unless a model has 26, 27 or 48
layers), and qwen2 (it requires that the heads together have the hidden size).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np
from safetensors import safe_open

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "formats"))
from models import llama, write_checkpoint  # noqa: E402

GOLDENS = ["plain", "r1", "fp8", "float32", "eight_groups", "mtp", "llama_grouped", "llama_one_kv_head"]
TYPES = ["Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q2_K_S"]
GOLDEN_BOUND = {"F16": 0.01, "BF16": 0.05, "Q8_0": 0.1}  # error at the worst position, relative to the largest logit
ACTIVATION_BOUND = 0.03
TEXTS = ["What is 48293 - 7519?", "Sort these numbers: 42, 7, 19, 3.\n\n  Bär, 三 strawberries!",
         "<｜begin▁of▁sentence｜><｜User｜>How many r's?<｜Assistant｜><think>\n"]


def logits(path: pathlib.Path, ids: list[int]) -> np.ndarray:
    model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, logits_all=True, verbose=False)
    model.eval(ids)
    return np.array(model.scores[: len(ids)])


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float((np.abs(found - expected).max(-1) / np.abs(expected).max(-1)).max())


def prompts(golden: pathlib.Path):
    with safe_open(golden, "np") as file:
        for index in range(sum(name.startswith("prompt.") for name in file.keys())):
            yield file.get_tensor(f"prompt.{index}").tolist(), file.get_tensor(f"logits.{index}")


def check_goldens(quantize, folder: pathlib.Path) -> list[str]:
    models = [(HERE / "goldens" / name, HERE / "goldens" / name / "golden.safetensors") for name in GOLDENS]
    models.append((ROOT / "demo" / "model", HERE / "demo_model.safetensors"))
    wrong = []
    for model, golden in models:
        for quant_type, bound in GOLDEN_BOUND.items():
            quantize(model, folder / "model.gguf", quant_type)
            worst = max(difference(logits(folder / "model.gguf", ids), expected) for ids, expected in prompts(golden))
            print(f"{model.name:20} {quant_type:7} {worst:.5f}", flush=True)
            if worst > bound:
                wrong.append(f"{model.name} as {quant_type}: logits differ by {worst}")
    return wrong


def check_k_quants(quantize, folder: pathlib.Path) -> list[str]:
    write_checkpoint(folder / "model", *llama(hidden=512, vocab=320))
    ids = np.random.default_rng(2).integers(2, 320, 40).tolist()
    exact = None
    wrong = []
    for quant_type in ["F16", *TYPES]:
        quantize(folder / "model", folder / "file.gguf", quant_type)
        quantize(folder / "file.gguf", folder / "expanded.gguf", "F16")
        found, expanded = logits(folder / "file.gguf", ids), logits(folder / "expanded.gguf", ids)
        exact = found if exact is None else exact
        worst = difference(found, expanded)
        print(f"random llama         {quant_type:7} {worst:.5f} from its own values, {difference(found, exact):.5f} from F16",
              flush=True)
        if worst > ACTIVATION_BOUND:
            wrong.append(f"random llama as {quant_type}: logits differ by {worst} from the expanded file's")
    return wrong


def check_tokenizer(quantize, folder: pathlib.Path) -> list[str]:
    quantize(ROOT / "demo" / "model", folder / "demo.gguf", "Q8_0")
    model = llama_cpp.Llama(str(folder / "demo.gguf"), vocab_only=True, verbose=False)
    dump = ROOT / "build" / "tests" / "tokenizer_dump"
    requests = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    answers = subprocess.run([dump, ROOT / "demo" / "model" / "tokenizer.json"], input=requests,
                             stdout=subprocess.PIPE, check=True, text=True).stdout
    wrong = []
    for text, answer in zip(TEXTS, answers.splitlines()):
        found = model.tokenize(text.encode(), add_bos=False, special=True)
        if found != json.loads(answer)["ids"]:
            wrong.append(f"{text!r} is {found} to llama.cpp, {json.loads(answer)['ids']} to us")
    print(f"tokenizer            {len(TEXTS) - len(wrong)} of {len(TEXTS)} texts agree")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin" / "deeprack")
    arguments = parser.parse_args()

    def quantize(source: pathlib.Path, target: pathlib.Path, quant_type: str) -> None:
        subprocess.run([arguments.bin, "quantize", source, target, "--type", quant_type], check=True,
                       stdout=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        wrong = check_goldens(quantize, folder) + check_k_quants(quantize, folder) + check_tokenizer(quantize, folder)
    print("\n".join(wrong) or "llama.cpp agrees")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
