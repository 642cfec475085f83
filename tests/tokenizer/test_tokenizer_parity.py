"""Our tokenizer against the `tokenizers` package. DEEPRACK_BUILD names the build folder (default: build)."""

import os
import pathlib

import pytest

from compare_tokenizers import ROOT, compare, packaged_tokenizer

# The vocabularies this project serves: R1's own, V3's, and those of the distilled models.
MODELS = {
    "deepseek-r1": 100_000,
    "deepseek-v3": 5_000,
    "deepseek-r1-distill-qwen-7b": 5_000,
    "deepseek-r1-distill-llama-8b": 5_000,
}


@pytest.fixture
def dump() -> pathlib.Path:
    build = ROOT / os.environ.get("DEEPRACK_BUILD", "build")
    program = build / "tests" / "tokenizer_dump"
    assert program.exists(), f"{program} is missing: run `make build` or set DEEPRACK_BUILD"
    return program


@pytest.mark.parametrize("model", MODELS)
def test_ids_and_text_agree(dump: pathlib.Path, model: str, tmp_path: pathlib.Path) -> None:
    differences = compare(dump, packaged_tokenizer(model, tmp_path), count=MODELS[model], seed=1)
    assert not differences, f"{len(differences)} differences, the first: {differences[0][:2000]}"


def test_demo_model(dump: pathlib.Path) -> None:
    tokenizer = ROOT / "demo" / "model" / "tokenizer.json"
    if not tokenizer.exists():
        pytest.skip("the demo model is not here")
    differences = compare(dump, tokenizer, count=20_000, seed=2)
    assert not differences, f"{len(differences)} differences, the first: {differences[0][:2000]}"
