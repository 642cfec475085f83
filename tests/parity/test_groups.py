"""Models of integers in groups against the same models in fp32. DEEPRACK_BUILD names the build folder (default: build)."""

import os
import pathlib
import subprocess

import pytest

from group_checkpoint import MODELS, Scheme, write_pair

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("DEEPRACK_BUILD", "build") / "tests" / "gguf_parity"

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


@pytest.mark.parametrize("model, scheme", CASES)
def test_logits_are_those_of_the_values(tmp_path: pathlib.Path, model: str, scheme: str) -> None:
    """Bitwise, fp32 compute, one rank and two."""
    assert model in MODELS
    quantised, twin = write_pair(tmp_path, model, SCHEMES[scheme])
    done = subprocess.run([PROGRAM, "same", quantised, twin], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
