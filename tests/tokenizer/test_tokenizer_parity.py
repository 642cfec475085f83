"""Compares this project's tokenizer, from tokenizer.json and from a GGUF, with the `tokenizers` package.

DEEPRACK_BUILD names the build folder (default: build). DEEPRACK_TOKENIZER_STRINGS replaces the numbers of strings below for every
vocabulary.
"""

import json
import os
import pathlib

import pytest

from compare_tokenizers import ROOT, compare, packaged_tokenizer
from gguf_vocabulary import write_vocabulary

# The vocabularies that this project serves, each with the number of strings to compare: R1's, V3's, those of the distilled models (Llama
# 3's and Qwen2.5's with R1's markers), and Qwen2.5's.
MODELS = {
    "deepseek-r1": 100_000,
    "deepseek-v3": 5_000,
    "deepseek-r1-distill-qwen-7b": 10_000,
    "deepseek-r1-distill-llama-8b": 10_000,
    "qwen-2.5": 10_000,
}
# The name of each vocabulary's splits in a GGUF.
GGUF_MODELS = {
    "deepseek-r1": "deepseek-v3",
    "deepseek-llm-7b-base": "deepseek-llm",
    "deepseek-r1-distill-qwen-7b": "deepseek-r1-qwen",
    "qwen-2.5": "qwen2",
    "deepseek-r1-distill-llama-8b": "llama-bpe",
}


def wanted(count: int) -> int:
    return int(os.environ.get("DEEPRACK_TOKENIZER_STRINGS", count))


@pytest.fixture
def dump() -> pathlib.Path:
    build = ROOT / os.environ.get("DEEPRACK_BUILD", "build")
    program = build / "tests" / "tokenizer_dump"
    assert program.exists(), f"{program} is missing: run `make build` or set DEEPRACK_BUILD"
    return program


@pytest.mark.parametrize("model", MODELS)
def test_ids_and_text_agree(dump: pathlib.Path, model: str, tmp_path: pathlib.Path) -> None:
    differences = compare(dump, packaged_tokenizer(model, tmp_path), count=wanted(MODELS[model]), seed=1)
    assert not differences, f"{len(differences)} differences, the first: {differences[0][:2000]}"


@pytest.mark.parametrize("model", GGUF_MODELS)
def test_a_gguf_gives_the_same_ids(dump: pathlib.Path, model: str, tmp_path: pathlib.Path) -> None:
    path = packaged_tokenizer(model, tmp_path)
    write_vocabulary(tmp_path / "vocabulary.gguf", json.loads(path.read_text()), GGUF_MODELS[model])
    differences = compare(dump, path, count=wanted(4_000), seed=3, ours=tmp_path / "vocabulary.gguf")
    assert not differences, f"{len(differences)} differences, the first: {differences[0][:2000]}"


def test_demo_model(dump: pathlib.Path) -> None:
    tokenizer = ROOT / "demo" / "model" / "tokenizer.json"
    if not tokenizer.exists():
        pytest.skip("the demo model is not here")
    differences = compare(dump, tokenizer, count=wanted(20_000), seed=2)
    assert not differences, f"{len(differences)} differences, the first: {differences[0][:2000]}"
