"""`deeprack serve model.gguf`: serves the demo model from one GGUF file, without other files."""

import json
import pathlib
import shutil
import sys

import pytest

from serve_command import ROOT, Serve, run

sys.path += [str(ROOT / "tests" / "parity"), str(ROOT / "tests" / "tokenizer")]

from gguf_checkpoint import Type, read_values, write_gguf  # noqa: E402
from gguf_vocabulary import add_vocabulary  # noqa: E402

DEMO = ROOT / "demo" / "model"
QUESTIONS = json.loads((ROOT / "demo" / "questions.json").read_text())
CONFIG = json.loads((DEMO / "config.json").read_text())
TEXT = "Sort 52, 7! <｜User｜> <think>\n\n 12é 你好"


def write_demo(path: pathlib.Path, wanted: Type, **options) -> None:
    def add_more(writer) -> None:
        tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
        add_vocabulary(writer, tokenizer, CONFIG["vocab_size"], "deepseek-v3")
        writer.add_add_bos_token(True)
        writer.add_float32("general.sampling.temp", 0.25)

    write_gguf(path, CONFIG, read_values(DEMO), wanted, add_more=add_more, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    write_demo(folder / "demo-f16.gguf", Type.F16)
    write_demo(folder / "demo-q8_0.gguf", Type.Q8_0)
    write_demo(folder / "demo-split.gguf", Type.Q8_0, split=40, old=True)
    return folder


@pytest.mark.parametrize("name,flags", [
    ("demo-f16.gguf", ()),
    ("demo-f16.gguf", ("--tp", "2", "--compute", "f32")),
    ("demo-q8_0.gguf", ("--tp", "2", "--pp", "2")),
    ("demo-split-00001-of-00003.gguf", ("--dp", "2")),
])
def test_it_answers_right(files, name, flags):
    with Serve(files / name, *flags) as serve:
        for entry in QUESTIONS:
            body = {"messages": [{"role": "user", "content": entry["question"]}], "temperature": 0, "max_tokens": 400}
            message = serve.post("/v1/chat/completions", body)["choices"][0]["message"]
            assert entry["answer"] in message["content"], (entry, message)
            assert message["reasoning_content"]
    assert serve.exit_code == 0, serve.read_log()


def test_text_and_names_are_the_folders(files):
    with Serve(files / "demo-split-00001-of-00003.gguf") as serve, Serve() as folder:
        assert serve.post("/tokenize", {"prompt": TEXT}) == folder.post("/tokenize", {"prompt": TEXT})
        body = {"messages": [{"role": "user", "content": TEXT}]}
        assert serve.post("/tokenize", body)["tokens"] == folder.post("/tokenize", body)["tokens"]
        answer = serve.post("/v1/completions", {"prompt": "What is 5 + 8?", "max_tokens": 1})
        assert answer["model"] == "demo-split"


def test_plan_needs_nothing_but_the_file(files):
    done = run("plan", files / "demo-q8_0.gguf", "--tp", 2)
    assert done.returncode == 0, done.stderr
    assert "2 ranks" in done.stdout


def test_plan_says_if_drafts_can_be_made(files, tmp_path):
    done = run("plan", files / "demo-q8_0.gguf", "--speculative-tokens", 2)
    assert done.returncode == 0, done.stderr
    assert "with the MTP layer: up to 2 drafts" in done.stdout
    done = changed(files, tmp_path, to_iq4_xs(b"blk.5.attn_output.weight"), "plan", "--speculative-tokens", 2)
    assert done.returncode == 0, done.stderr
    reason = "the MTP layer's tensor model.layers.5.self_attn.o_proj.weight is IQ4_XS, expected BF16"
    assert f"without speculation: {reason}" in done.stdout


def changed(files, tmp_path, change, command, *flags):
    """Runs a command with a changed file."""
    path = tmp_path / "damaged.gguf"
    data = bytearray((files / "demo-q8_0.gguf").read_bytes())
    path.write_bytes(change(data) or data)
    return run(command, path, *flags)


def damaged(files, tmp_path, change):
    return changed(files, tmp_path, change, "serve")


def to_iq4_xs(name):
    def change(data):
        at = data.index(name) + len(name) + 4 + 2 * 8
        data[at : at + 4] = (23).to_bytes(4, "little")

    return change


@pytest.mark.parametrize("change,message", [
    (lambda data: data[: len(data) // 2], "does not fit in the file"),
    (lambda data: data[:1000], "976 bytes are left"),
    (lambda data: data.__setitem__(slice(8, 16), b"\xff" * 8), "tensors"),
    (lambda data: data.__setitem__(slice(0, 4), b"GGML"), "not with"),
], ids=["half", "header", "count", "magic"])
def test_damage_is_bad_weights(files, tmp_path, change, message):
    done = damaged(files, tmp_path, change)
    assert done.returncode == 65, done.stderr
    assert "damaged.gguf" in done.stderr and message in done.stderr


def test_a_missing_file_of_a_split_is_bad_weights(files, tmp_path):
    for path in files.glob("demo-split-*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "demo-split-00002-of-00003.gguf").unlink()
    done = run("serve", tmp_path / "demo-split-00001-of-00003.gguf")
    assert done.returncode == 65, done.stderr
    assert "demo-split-00002-of-00003.gguf" in done.stderr


def test_a_format_that_is_not_read_is_named(files, tmp_path):
    done = damaged(files, tmp_path, to_iq4_xs(b"token_embd.weight"))
    assert done.returncode == 78, done.stderr
    assert "IQ4_XS is not supported; these are: F32" in done.stderr


def test_a_folder_of_gguf_files_says_which_to_give(files):
    done = run("serve", files)
    assert done.returncode == 78, done.stderr
    assert "demo-f16.gguf" in done.stderr
