"""Packed weights: a start that packs them, a start that maps them, `deeprack pack`, and wrong files."""

import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import ROOT, Serve, run  # noqa: E402

DEMO = ROOT / "demo" / "model"
PROMPT = {"model": "model", "messages": [{"role": "user", "content": "What is 17 + 25?"}], "temperature": 0, "max_tokens": 60}
PACKED, MAPPED = r"packed \d+ bytes of weights to (\S+)", r"\d+ bytes of packed weights from (\S+)"


def serve(*arguments):
    """Starts the server. Returns a greedy answer, and the files that the ranks packed and mapped."""
    with Serve(*arguments, "--served-model-name", "model", "--log-level", "info", "--max-context", 512) as server:
        message = server.post("/v1/chat/completions", PROMPT)["choices"][0]["message"]
    log = server.read_log()
    return message, sorted(re.findall(PACKED, log)), sorted(re.findall(MAPPED, log)), log


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "demo.gguf"
    assert run("quantize", DEMO, out, "--type", "Q8_0").returncode == 0
    return out


@pytest.mark.parametrize("tp", [1, 2])
def test_the_second_start_maps_what_the_first_packed(tmp_path, tp):
    arguments = (DEMO, "--tp", tp, "--packed", tmp_path)
    plain = serve(DEMO, "--tp", tp)
    first, second = serve(*arguments), serve(*arguments)
    files = sorted(str(file) for file in tmp_path.iterdir())
    assert files == [f"{tmp_path}/model.tp{tp}-dp1-ep{tp}-pp1.bf16.rank-{rank}.packed" for rank in range(tp)]
    assert plain[1:3] == ([], []), plain[3]
    assert first[1:3] == (files, []), first[3]
    assert second[1:3] == ([], files), second[3]
    assert plain[0] == first[0] == second[0]


def test_pack_prepares_what_serve_maps(tmp_path, quantized):
    packed = run("pack", quantized, tmp_path / "packed", "--max-context", 512)
    assert packed.returncode == 0, packed.stderr
    assert packed.stdout == f"packed weights of 1 rank (tp=1 dp=1 ep=1 pp=1) in {tmp_path}/packed\n"
    [file] = (tmp_path / "packed").iterdir()
    before = file.stat().st_mtime_ns
    assert run("pack", quantized, tmp_path / "packed", "--max-context", 512).returncode == 0
    assert file.stat().st_mtime_ns == before, "what is right stays"
    mapped = serve(quantized, "--packed", tmp_path / "packed")
    assert mapped[1:3] == ([], [str(file)]), mapped[3]
    assert mapped[0] == serve(quantized)[0]

    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    again = run("pack", quantized, tmp_path / "packed", "--max-context", 512)
    assert again.returncode == 0
    assert f"{file}: the weights in it are not those that were written" in again.stderr
    data[-1] ^= 1
    assert file.read_bytes() == data

    os.utime(quantized, (1, 1))
    stale = serve(quantized, "--packed", tmp_path / "packed")
    assert stale[1:3] == ([str(file)], []), stale[3]
    assert "its files have changed since" in stale[3]


def test_pack_says_what_stands_in_its_way(tmp_path):
    (tmp_path / "file").write_text("")
    below_a_file = run("pack", DEMO, tmp_path / "file" / "packed", "--max-context", 512)
    assert below_a_file.returncode == 78 and "Not a directory" in below_a_file.stderr, below_a_file.stderr
    assert run("pack", tmp_path / "no-model", tmp_path / "packed").returncode == 78
    assert run("pack", DEMO, tmp_path / "packed", "--tp", 7).returncode == 78
    assert run("pack", DEMO, tmp_path / "packed", "--workers", "external").returncode == 78
    assert run("pack").returncode == 64
    assert run("pack", DEMO, tmp_path / "packed", "--packed", tmp_path).returncode == 64
    assert not (tmp_path / "packed").exists()
