"""Compares the block formats with the `gguf` package. DEEPRACK_BUILD names the build folder (default: build)."""

import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# Where each format has its half-precision scales.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


@pytest.fixture
def dump():
    program = ROOT / os.environ.get("DEEPRACK_BUILD", "build") / "tests" / "block_dump"
    assert program.exists(), f"{program} is missing: run `make build` or set DEEPRACK_BUILD"

    def run(command: str, data: np.ndarray, result: type) -> np.ndarray:
        out = subprocess.run([program, *command.split()], input=data.tobytes(), stdout=subprocess.PIPE, check=True)
        return np.frombuffer(out.stdout, dtype=result)
    return run


def blocks_of(name: str, count: int, halves: np.ndarray) -> np.ndarray:
    """Random blocks, with the given halves in turn as scales."""
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    rng = np.random.default_rng(TYPES.index(name))
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for shift, offset in enumerate(HALVES[name]):
        chosen = np.roll(halves, 77 * shift)[np.arange(count) % len(halves)].astype("<u2")
        blocks[:, offset : offset + 2] = chosen.view(np.uint8).reshape(count, 2)
    return blocks


ALL_HALVES = np.arange(0x10000, dtype=np.uint16)
FINITE_HALVES = ALL_HALVES[ALL_HALVES & 0x7C00 != 0x7C00]


@pytest.mark.parametrize("name", TYPES)
def test_values_are_those_of_the_gguf_package(dump, name: str) -> None:
    """Equal bit for bit, with the sign of zeros: every finite half as scale, random bits everywhere else."""
    blocks = blocks_of(name, len(FINITE_HALVES), FINITE_HALVES)
    expected = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
    ours = dump(f"dequantize {name}", blocks, np.float32)
    wrong = np.flatnonzero(ours.view(np.uint32) != expected.ravel().view(np.uint32))
    assert wrong.size == 0, f"{wrong.size} differ, the first: {ours[wrong[0]]} for {expected.ravel()[wrong[0]]}"


@pytest.mark.parametrize("name", TYPES)
def test_blocks_with_values_that_are_not_finite_are_found(dump, name: str) -> None:
    halves = np.concatenate([ALL_HALVES[::97], np.array([0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF], dtype=np.uint16)])
    blocks = blocks_of(name, 2 * len(halves), halves)
    scales = np.stack([blocks[:, at : at + 2].copy().view("<f2")[:, 0] for at in HALVES[name]], axis=1)
    expected = np.isfinite(scales).all(axis=1)
    assert 0 < expected.sum() < len(expected)
    assert np.array_equal(dump(f"finite {name}", blocks, np.uint8).astype(bool), expected)


def test_rounding_to_half(dump) -> None:
    """All halves, the floats midway between neighbouring halves, the floats beside these, and random bits."""
    halves = ALL_HALVES.view(np.float16).astype(np.float32)
    finite = np.sort(halves[np.isfinite(halves)])
    midway = (finite[1:].astype(np.float64) + finite[:-1]).astype(np.float32) / 2
    largest = np.array([65519.99, 65520, 65536, 1e30, np.inf], dtype=np.float32)
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, 1_000_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([finite, midway, np.nextafter(midway, np.float32(np.inf)),
                             np.nextafter(midway, np.float32(-np.inf)), largest, -largest, bits])
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert np.array_equal(dump("to_f16", values, np.uint16), expected.view(np.uint16))
    nan = np.array([0x7F800001, 0x7FC00000, 0xFFFFFFFF], dtype=np.uint32).view(np.float32)
    assert np.isnan(dump("to_f16", nan, np.float16)).all()


def edge_rows(rng: np.random.Generator) -> np.ndarray:
    """Rows of 256 values that are difficult to round: ties, constants, zeros of both signs, tiny values."""
    ties = np.arange(256, dtype=np.float32) % 16 - 8 + 0.5
    tied_extremes = np.where(np.arange(256) % 2, 3.0, -3.0)
    rows = [ties, ties * 0.25, tied_extremes, np.zeros(256), np.full(256, -0.0), np.full(256, 1.25),
            np.full(256, -1.25), rng.standard_normal(256) * 1e-6, rng.standard_normal(256) * 1e-8]
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_rounding_to_nearest_gives_the_bytes_of_the_gguf_package(dump, name: str) -> None:
    rng = np.random.default_rng(3)
    normal = rng.standard_normal((1000, 256), dtype=np.float32) * 0.02
    values = np.concatenate([normal, rng.laplace(size=(1000, 256)).astype(np.float32), edge_rows(rng)])
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name])
    ours = dump(f"quantize {name}", values, np.uint8).reshape(expected.shape)
    wrong = np.flatnonzero((ours != expected).any(axis=1))
    assert wrong.size == 0, f"{wrong.size} rows differ, the first: {wrong[0]}"
