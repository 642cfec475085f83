"""The pages as tests: what they link to and name exists, README is short, every decision has its three parts."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_README_LINES = 150
DECISIONS = ROOT / "docs/decisions"


def tracked():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in out.splitlines() if (ROOT / line).is_file()]


FILES = set(tracked())
FOLDERS = {str(parent) for name in FILES for parent in pathlib.PurePosixPath(name).parents} - {"."}
TOP = {name.split("/")[0] for name in FOLDERS}
BASENAMES = {pathlib.PurePosixPath(name).name for name in FILES}
PAGES = sorted(name for name in FILES if name.endswith(".md"))
SOURCE = r"[\w.-]+\.(?:h|cc|cu|cuh|proto)"  # a file of ours that is named without its folder


def anchor(heading):
    """The anchor that a page's heading gets on the web."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", text))


def anchors(text):
    return {anchor(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


def links(text):
    """Targets of Markdown links that are not addresses of the web."""
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", t)]


def dead_links(page, text):
    for target in links(text):
        path, _, fragment = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists():
            yield f"{page}: {target} is not there"
        elif fragment and fragment not in anchors(file.read_text()):
            yield f"{page}: {target} has no such heading"


def expand(word):
    """a/{b,c}/d -> a/b/d, a/c/d"""
    match = re.search(r"\{([^{}]*)\}", word)
    if not match:
        return [word]
    return [path for part in match.group(1).split(",")
            for path in expand(word[:match.start()] + part + word[match.end():])]


def code(text):
    """What stands in backticks: whole blocks and pieces of lines."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return blocks + re.findall(r"`([^`]+)`", rest)


def named_paths(text):
    """Paths in backticks that begin with a top folder of the tree, and names of sources without a folder."""
    for piece in code(text):
        for word in re.findall(r"[\w./{},*-]+", piece):
            word = word.rstrip(".,").rstrip("/").removeprefix("./")
            for path in expand(word):
                if "/" in path and path.split("/")[0] in TOP or re.fullmatch(SOURCE, path):
                    yield path


def exists(path):
    if "/" not in path:
        return path in BASENAMES
    if "*" in path:
        return any(pathlib.PurePosixPath(name).match(path) for name in FILES)
    return path in FILES or path in FOLDERS


def missing_paths(page, text):
    return [f"{page}: {path} is not there" for path in named_paths(text) if not exists(path)]


def test_the_checks_find_what_is_wrong():
    assert "README.md" in PAGES and len(PAGES) > 10
    assert list(dead_links("README.md", "[a](docs/nowhere.md)")) == ["README.md: docs/nowhere.md is not there"]
    assert list(dead_links("README.md", "[a](#no-such-heading)")) == ["README.md: #no-such-heading has no such heading"]
    assert not list(dead_links("README.md", "[a](https://example.org/x) [b](Makefile)"))
    assert missing_paths("x", "`base/nothing.h`, `Makefile`, `/v1/models`") == ["x: base/nothing.h is not there"]
    assert missing_paths("x", "see `no_such_source.cc`") == ["x: no_such_source.cc is not there"]
    assert missing_paths("x", "```\ncp base/nothing.h .\n```\n") == ["x: base/nothing.h is not there"]
    assert not missing_paths("x", "`tests/style/`, `tests/{style,cli}`, `base/*.h`, `build/bin/deeprack`, base/nothing.h")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    wrong = list(dead_links(page, (ROOT / page).read_text()))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    wrong = missing_paths(page, (ROOT / page).read_text())
    assert not wrong, "\n".join(wrong)


def test_readme_is_short():
    lines = len((ROOT / "README.md").read_text().splitlines())
    assert lines < MAX_README_LINES, f"README.md has {lines} lines; move a part to docs/"


def decisions():
    return sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")


def test_decisions_are_numbered_and_listed():
    index = (DECISIONS / "README.md").read_text()
    numbers = [path.name[:4] for path in decisions()]
    assert numbers and len(set(numbers)) == len(numbers), numbers
    wrong = [path.name for path in decisions()
             if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name) or f"]({path.name})" not in index]
    assert not wrong, f"misnamed, or not in {DECISIONS.name}/README.md: {wrong}"


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.stem)
def test_a_decision_has_its_three_parts(path):
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.findall(r"^## (.*)$", text, re.M) == ["Context", "Decision", "Consequence"]
