"""Compares models of integers in groups with the same models in fp32. DEEPRACK_BUILD names the build folder (default: build)."""

import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest

from group_checkpoint import MODELS, Scheme, is_linear, read_folder, unpacked, write_folder, write_pair

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("DEEPRACK_BUILD", "build")
PARITY = BUILD / "tests" / "gguf_parity"
DEEPRACK = BUILD / "bin" / "deeprack"

AWQ = dict(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True, modules_to_not_convert=None)
GPTQ = dict(quant_method="gptq", bits=4, group_size=128, checkpoint_format="gptq", desc_act=False, sym=False)


def compressed_tensors(layout: str, ignore: list[str] = [], **weights) -> dict:
    weights = dict(num_bits=4, type="int", strategy="group", group_size=128, symmetric=True, dynamic=False) | weights
    group = dict(targets=["Linear"], weights=weights, input_activations=None, output_activations=None)
    return dict(quant_method="compressed-tensors", format=layout, quantization_status="compressed",
                config_groups=dict(group_0=group), ignore=["lm_head", *ignore])


SCHEMES = {
    "awq": Scheme("awq", AWQ),
    "awq_but_attention": Scheme("awq", AWQ | dict(modules_to_not_convert=["self_attn"]), skipped=".*self_attn"),
    "gptq": Scheme("gptq", GPTQ, zero_minus_one=True),
    "gptq_symmetric_v2": Scheme("gptq", GPTQ | dict(checkpoint_format="gptq_v2", sym=True), symmetric=True),
    "gptq_act_order": Scheme("gptq", GPTQ | dict(desc_act=True), zero_minus_one=True, act_order=True),
    "gptq_act_order_in_static_groups": Scheme("gptq", GPTQ | dict(desc_act=True, static_groups=True), zero_minus_one=True),
    "packed": Scheme("packed", compressed_tensors("pack-quantized"), symmetric=True, bf16_scales=True),
    "packed_asymmetric": Scheme("packed", compressed_tensors("pack-quantized", symmetric=False)),
    "packed_act_order": Scheme("packed", compressed_tensors("pack-quantized", actorder="group"), symmetric=True, act_order=True),
    "packed_experts": Scheme(
        "packed", compressed_tensors("pack-quantized", ["re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|down)_proj.*"]),
        symmetric=True, skipped=r".*self_attn.*|.*shared_experts.*|.*mlp\.(gate|up|down)_proj.*"),
    "int8": Scheme("int8", compressed_tensors("int-quantized", num_bits=8, strategy="channel", group_size=None), symmetric=True,
                   bf16_scales=True),
}
CASES = [("deepseek_v3", scheme) for scheme in SCHEMES] + [
    ("llama", "awq"), ("llama", "gptq_act_order"), ("llama", "packed"), ("llama", "int8"), ("qwen2", "awq"),
    ("qwen2", "gptq"), ("qwen2", "gptq_act_order"), ("qwen2", "packed_asymmetric"), ("qwen2", "int8")]


def run(*command) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.parametrize("model, scheme", CASES)
def test_logits_are_those_of_the_values(tmp_path: pathlib.Path, model: str, scheme: str) -> None:
    """The logits are bitwise equal with fp32 compute, on one rank and on two."""
    assert model in MODELS
    quantised, twin = write_pair(tmp_path, model, SCHEMES[scheme])
    run(PARITY, "same", quantised, twin)


@pytest.mark.parametrize("scheme", ["awq", "gptq_act_order", "packed_asymmetric"])
def test_integers_are_quantised_again_as_their_values_are(tmp_path: pathlib.Path, scheme: str) -> None:
    quantised, twin = write_pair(tmp_path, "deepseek_v3", SCHEMES[scheme])
    run(DEEPRACK, "quantize", quantised, tmp_path / "quantised.gguf", "--type", "Q8_0")
    run(DEEPRACK, "quantize", twin, tmp_path / "twin.gguf", "--type", "Q8_0")
    ours, theirs = (gguf.GGUFReader(tmp_path / name).tensors for name in ["quantised.gguf", "twin.gguf"])
    assert [tensor.name for tensor in ours] == [tensor.name for tensor in theirs]
    for a, b in zip(ours, theirs):
        assert a.tensor_type == b.tensor_type and (a.data == b.data).all(), a.name


# The quantised modules. int4: weights whose rows are whole groups. A mixture of experts: only the routed experts.
@pytest.mark.parametrize("model, kind, count", [("deepseek_v3", "INT4", 12), ("llama", "INT4", 14), ("deepseek_v3", "INT8", 28),
                                                ("llama", "INT8", 14), ("qwen2", "INT8", 14)])
def test_what_quantize_writes(tmp_path: pathlib.Path, model: str, kind: str, count: int) -> None:
    """The values, unpacked here by the layout's definition, are near the original ones, and the logits are those of these values."""
    _, source = write_pair(tmp_path, model, SCHEMES["int8"], seed=3)
    run(DEEPRACK, "quantize", source, tmp_path / "out", "--type", kind)
    before, stored = read_folder(source), read_folder(tmp_path / "out")
    ignored = set(json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]["ignore"])
    values, quantised = {}, 0
    for name, value in before.items():
        module = name.removesuffix(".weight")
        if name in stored and stored[name].dtype != np.int8:
            assert stored[name].dtype == np.float32 and (stored[name] == value).all()
            assert module in ignored or not is_linear(module)
            values[name] = value
            continue
        assert module not in ignored
        values[name], step = unpacked(module, stored)
        # Half a level; more if the largest value of a group is beyond the last level.
        assert (np.abs(values[name] - value) <= step * (1.5 if kind == "INT4" else 0.8)).all()
        assert np.abs(values[name] - value).mean() < 0.3 * step.mean()
        quantised += 1
    assert quantised == count
    config = json.loads((source / "config.json").read_text())
    write_folder(tmp_path / "values", config, values)
    run(PARITY, "same", tmp_path / "out", tmp_path / "values")
