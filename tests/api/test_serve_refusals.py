"""Errors that `deeprack serve` reports before it starts a process: exit code and message."""

import json
import pathlib
import shutil
import socket

import pytest

from serve_command import ROOT, run

DEMO = ROOT / "demo" / "model"


@pytest.fixture
def model(tmp_path):
    """A copy of the demo model that the test damages."""
    return pathlib.Path(shutil.copytree(DEMO, tmp_path / "model"))


def change_config(model, **changes):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | changes))


def shard(model):
    return sorted(model.glob("*.safetensors"))[0]


def test_heads_that_do_not_divide_are_refused_with_what_would():
    done = run("serve", DEMO, "--tp", 3)
    assert done.returncode == 78, done.stderr
    assert "tp" in done.stderr and "1, 2, 4" in done.stderr


def test_an_unknown_architecture_is_named(model):
    change_config(model, model_type="gpt2")
    done = run("serve", model)
    assert done.returncode == 78, done.stderr
    assert "gpt2" in done.stderr and "deepseek_v3" in done.stderr


def test_a_missing_folder_is_named(tmp_path):
    done = run("serve", tmp_path / "nowhere")
    assert done.returncode != 0
    assert "nowhere" in done.stderr


def test_a_truncated_shard_is_bad_weights(model):
    data = shard(model).read_bytes()
    shard(model).write_bytes(data[: len(data) // 2])
    done = run("serve", model)
    assert done.returncode == 65, done.stderr
    assert shard(model).name in done.stderr


def test_a_damaged_header_is_bad_weights(model):
    data = bytearray(shard(model).read_bytes())
    data[0] ^= 0x40
    data[5] ^= 0x01
    shard(model).write_bytes(data)
    done = run("serve", model)
    assert done.returncode == 65, done.stderr
    assert shard(model).name in done.stderr


def test_a_missing_shard_is_named(model):
    name = shard(model).name
    shard(model).unlink()
    done = run("serve", model)
    assert done.returncode == 65, done.stderr
    assert name in done.stderr


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", port)
    assert done.returncode == 69, done.stderr
    assert str(port) in done.stderr


@pytest.mark.parametrize("flags", [["--tp", "0"], ["--tp", "-1"], ["--tp", "99999999999"], ["--compute", "fp4"], ["--nonsense"]])
def test_usage_errors(flags):
    done = run("serve", *flags)
    assert done.returncode == 64, done.stderr
    assert flags[0].lstrip("-") in done.stderr


@pytest.mark.skipif(pathlib.Path("/dev/nvidiactl").exists(), reason="this machine has a card")
def test_the_cuda_backend_without_a_card_says_what_is_missing():
    done = run("serve", "--backend", "cuda")
    assert done.returncode == 78, done.stderr
    assert "--backend cpu" in done.stderr and "cuda" in done.stderr.lower()


def test_version():
    done = run("version")
    assert done.returncode == 0
    assert done.stdout.startswith("deeprack ")
