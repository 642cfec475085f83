"""Hostile weight files: `deeprack serve` refuses each at once, with a message that names the file, and exit code 65."""

import json
import pathlib
import shutil
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, run  # noqa: E402

DEMO = ROOT / "demo" / "model"
HUGE = 1 << 40
BOOL, STRING, ARRAY, F32 = 7, 8, 9, 0  # GGUF's numbers: three types of values, one type of tensors


def text(value: bytes | str, length: int | None = None) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def record(name: str, dimensions: list[int], kind: int = F32, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)


ARCHITECTURE = entry("general.architecture", STRING, text("llama"))


def gguf(keys: list[bytes] = [], tensors: list[bytes] = [], data: int = 64, key_count: int | None = None,
         tensor_count: int | None = None) -> bytes:
    keys = [ARCHITECTURE, *keys]
    counts = [len(keys) if key_count is None else key_count, len(tensors) if tensor_count is None else tensor_count]
    header = b"GGUF" + struct.pack("<IQQ", 3, counts[1], counts[0]) + b"".join(keys) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


GGUF_CASES = {
    "tensor count": (lambda: gguf(tensor_count=2**63 - 1), "the header counts 9223372036854775807 tensors"),
    "tensor count beyond the file": (lambda: gguf(tensor_count=1000), "the header counts 1000 tensors"),
    "key count": (lambda: gguf(key_count=2**64 - 1), "18446744073709551615 metadata entries"),
    "a million keys": (lambda: gguf([entry(str(i), BOOL, b"\x01") for i in range(1_000_000)]),
                       "1000001 metadata entries; at most"),
    "length of a key": (lambda: gguf([text("k", 2**64 - 1)]), "metadata key 1 has a string of 18446744073709551615 bytes"),
    "length of a string": (lambda: gguf([entry("k", STRING, text("v", HUGE))]), 'key "k" has a string of 1099511627776 bytes'),
    "length of an array": (lambda: gguf([entry("k", ARRAY, struct.pack("<IQ", 4, 2**62))]),
                           "an array of 4611686018427387904 values"),
    "length of a name": (lambda: gguf(tensors=[record("t" * 65, [1])]), "65 bytes long; at most 64"),
    "type of a value": (lambda: gguf([entry("k", 13, bytes(8))]), "unknown type 13"),
    "type of a tensor": (lambda: gguf(tensors=[record("t", [32], 5)]), "unknown type 5"),
    "product of dimensions": (lambda: gguf(tensors=[record("t", [HUGE, HUGE])]), "overflows 64 bits"),
    "product with the size": (lambda: gguf(tensors=[record("t", [HUGE, 1 << 22])]), "overflows 64 bits"),
    "negative dimension": (lambda: gguf(tensors=[record("t", [2**64 - 4])]), "has a dimension of -4"),
    "offset past the end": (lambda: gguf(tensors=[record("t", [4], offset=HUGE)]), "does not fit in the file's"),
    "offset that wraps around": (lambda: gguf(tensors=[record("t", [4], offset=2**64 - 32)]), "does not fit in the file's"),
    "offset off the alignment": (lambda: gguf(tensors=[record("t", [4], offset=8)]), "not a multiple of the alignment 32"),
    "overlap": (lambda: gguf(tensors=[record("t", [12]), record("u", [4], offset=32)]), 'overlaps "t"'),
    "truncated data": (lambda: gguf(tensors=[record("t", [16])])[:-1], "ends at byte"),
    "truncated header": (lambda: gguf(tensors=[record("tensor", [16])], data=0)[:-32], "the file ends"),
}


@pytest.mark.parametrize("case", GGUF_CASES)
def test_a_hostile_gguf_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    make, message = GGUF_CASES[case]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(make())
    done = run("serve", path)
    assert done.returncode == 65, done.stderr
    assert "hostile.gguf" in done.stderr and message in done.stderr, done.stderr


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(tensors: dict | str, data: int = 16, length: int | None = None) -> bytes:
    header = (tensors if isinstance(tensors, str) else json.dumps(tensors)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(data)


def a_million_keys() -> str:
    one = json.dumps(tensor("U8", [0], 0, 0))
    return "{" + ",".join(f'"{i}":{one}' for i in range(1_000_000)) + "}"


SAFETENSORS_CASES = {
    "length of the header": (lambda: safetensors({}, length=2**64 - 1), "the header has 18446744073709551615 bytes"),
    "header beyond the file": (lambda: safetensors({}, length=90_000_000), "does not fit in the file's"),
    "a million keys": (lambda: safetensors(a_million_keys(), 0), "more than 262144 tensors"),
    "a name of a megabyte": (lambda: safetensors({"n" * (1 << 20): tensor("F32", [4], 0, 8)}), "takes 16 bytes"),
    "type": (lambda: safetensors({"t": tensor("F65", [4], 0, 16)}), '"F65"'),
    "product of dimensions": (lambda: safetensors({"t": tensor("F32", [HUGE, HUGE], 0, 16)}), "overflows 64 bits"),
    "product with the size": (lambda: safetensors({"t": tensor("F32", [2**62], 0, 16)}), "overflows 64 bits"),
    "negative dimension": (lambda: safetensors({"t": tensor("F32", [-4], 0, 16)}), "negative"),
    "dimension beyond 64 bits": (lambda: safetensors({"t": tensor("F32", [2**64 - 1], 0, 16)}), "too large"),
    "offset past the end": (lambda: safetensors({"t": tensor("F32", [4], HUGE, HUGE + 16)}), "past the end"),
    "offset beyond 64 bits": (lambda: safetensors({"t": tensor("F32", [4], 2**64 - 16, 2**64)}), "data_offsets is too large"),
    "end before the begin": (lambda: safetensors({"t": tensor("F32", [4], 16, 0)}), "begin <= end"),
    "overlap": (lambda: safetensors({"t": tensor("F32", [3], 0, 12), "u": tensor("F32", [2], 8, 16)}), 'overlaps "t"'),
    "gap": (lambda: safetensors({"t": tensor("F32", [2], 8, 16)}), "leaves a gap"),
    "truncated data": (lambda: safetensors({"t": tensor("F32", [4], 0, 16)})[:-1], "past the end"),
    "truncated header": (lambda: safetensors({"t": tensor("F32", [4], 0, 16)})[:20], "does not fit in the file's 20 bytes"),
}


@pytest.mark.parametrize("case", SAFETENSORS_CASES)
def test_a_hostile_safetensors_file_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    make, message = SAFETENSORS_CASES[case]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO / name, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(make())
    done = run("serve", tmp_path)
    assert done.returncode == 65, done.stderr
    assert "model.safetensors" in done.stderr and message in done.stderr, done.stderr
    assert len(done.stderr) < 2000
