"""Each setting is described once: few files spell its name as a string. The rest asks settings/setting_table.cc."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_FILES = 3
# Also a key of tokenizer_config.json and a field of requests: only its flag is counted.
JSON_KEYS = {"chat-template"}
SOURCES = ("*.h", "*.cc", "*.cu", "*.cuh")


def names():
    rows = "".join((ROOT / "settings" / file).read_text() for file in ("setting_table.cc", "http_settings.cc"))
    return re.findall(r'\.name = "([a-z-]+)"|row\("([a-z-]+)"', rows)


def files_with(pattern):
    """The sources outside tests that hold the pattern."""
    out = subprocess.run(["git", "grep", "-lE", "--untracked", pattern, "--", *SOURCES, ":!tests"], cwd=ROOT, capture_output=True,
                         text=True)
    assert out.returncode in (0, 1), out.stderr
    return out.stdout.split()


def test_a_name_is_spelled_in_few_files():
    known = [one or other for one, other in names()]
    assert len(known) > 30
    wide = {}
    for name in known:
        # A flag counts wherever it stands in a string, a message to the user too. A name of one word also stands in strings
        # of other meaning, such as fields of JSON: only its flag is counted.
        words = name.replace("-", "[-_]")
        spelled = f'"[^"]*--(no-)?{words}([^a-z0-9-]|$)'
        if "-" in name and name not in JSON_KEYS:
            spelled += f'|"{words}"'
        if len(files := files_with(spelled)) > MOST_FILES:
            wide[name] = files
    assert not wide, wide


def test_the_table_is_one_of_them():
    assert "settings/setting_table.cc" in files_with('"max-sequences"')
