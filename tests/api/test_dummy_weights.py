"""`deeprack serve --load-format dummy` serves with config.json and tokenizer alone, and says that the weights are dummy weights."""

import json
import shutil
import urllib.request

import pytest

from serve_command import ROOT, Serve, run

DEMO = ROOT / "demo" / "model"


@pytest.fixture
def model(tmp_path):
    """A folder with the demo model's files without its weights."""
    folder = tmp_path / "described"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO / name, folder)
    return folder


def card_of(serve):
    with urllib.request.urlopen(serve.url + "/v1/models") as reply:
        return json.load(reply)["data"][0]


def answer(serve, seed=1):
    body = {"prompt": "What is 17 + 25?", "max_tokens": 12, "seed": seed, "temperature": 1, "logprobs": 1}
    choice = serve.post("/v1/completions", body)["choices"][0]
    assert all(p is not None and p < 0 for p in choice["logprobs"]["token_logprobs"]), choice
    return choice["text"], choice["logprobs"]["token_logprobs"]


@pytest.mark.parametrize("layout", [(), ("--tp", 2, "--dp", 2, "--expert-exchange", "all_to_all")], ids=lambda flags: " ".join(map(str, flags)))
def test_it_serves_without_weights_and_says_so(model, layout):
    with Serve(model, "--load-format", "dummy", *layout) as serve:
        assert card_of(serve)["load_format"] == "dummy"
        assert answer(serve) == answer(serve)
    assert serve.exit_code == 0, serve.read_log()
    assert "the weights are dummies (--load-format dummy)" in serve.read_log()


def test_weights_are_asked_for_by_default(model):
    done = run("serve", model)
    assert done.returncode == 65, done.stderr
    assert "model.safetensors" in done.stderr
    with Serve() as serve:
        assert "load_format" not in card_of(serve)


def test_dummies_are_not_packed(model, tmp_path):
    done = run("serve", model, "--load-format", "dummy", "--packed", tmp_path)
    assert done.returncode == 78, done.stderr
    assert "--packed" in done.stderr and "dummy" in done.stderr
