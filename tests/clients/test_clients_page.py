"""The table of clients in docs/API.md names the versions that the tests pin."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PIN = re.compile(r"\b([A-Za-z][\w-]*)(?:\[[\w,-]*\])?==([\w.]+)")


def pinned_versions():
    files = [ROOT / "tests" / "requirements.txt", *ROOT.glob("tests/clients/*/requirements.txt"),
             *ROOT.glob("tests/clients/*/test_*.py")]
    versions = {}
    for file in files:
        for name, version in PIN.findall(file.read_text()):
            versions.setdefault(name, set()).add(version)
    return versions


def table_rows():
    page = (ROOT / "docs" / "API.md").read_text()
    section = page.split("\n## Clients\n")[1].split("\n## ")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in section.splitlines()
            if line.startswith("| ") and not line.startswith(("| client", "|---"))]


def test_versions():
    pins, rows = pinned_versions(), table_rows()
    assert rows
    for name, version, *_ in rows:
        assert set(re.split(r", ", version)) <= pins.get(name, set()), f"docs/API.md names {name} {version}"


def test_every_client_has_a_row():
    tested = {name for file in ROOT.glob("tests/clients/*/requirements.txt") for name, _ in PIN.findall(file.read_text())}
    assert tested - {"torch", "autogen-ext"} <= {row[0] for row in table_rows()}
