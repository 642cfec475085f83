"""The house's rules as tests: who may include whom, no cycles, how long a file may be, what a header holds."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LINES = 500

# folder -> folders it may include (docs/OVERVIEW.md, "Folders"). A folder may include itself.
ALLOWED = {
    "base": set(),
    "model": {"base"},
    "checkpoint": {"base", "model"},
    "kernels": {"base"},
    "sizing": {"base", "model", "checkpoint", "kernels"},
    "coordinator": {"base", "model", "proto"},
    "worker": {"base", "model", "checkpoint", "kernels", "sizing", "proto"},
    "cli": {"base", "model", "checkpoint", "kernels", "sizing", "proto"},
}
# The only folders that may include generated protocol headers, MPI, NCCL and CUDA.
PROTO_FOLDERS = ("coordinator/dispatch", "coordinator/membership", "coordinator/api", "worker/rpc")
RESTRICTED = {
    r"mpi\.h": ("worker/collectives/mpi",),
    r"nccl\.h": ("worker/collectives/nccl",),
    r"hwloc\.h": ("worker/topology",),
    r"cuda(_runtime|_runtime_api|_bf16|_fp8)?\.h|cublasLt\.h": ("worker/device", "worker/collectives/nccl", "kernels/cuda"),
}


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
                         cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(line for line in out.splitlines() if (ROOT / line).is_file())


def sources():
    return [f for f in tracked("*.h", "*.cc", "*.cu", "*.cuh") if f.split("/")[0] in ALLOWED]


def includes(path):
    """(included path, is it quoted) of every #include line."""
    for line in (ROOT / path).read_text().splitlines():
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield match.group(2), match.group(1) == '"'


def folder_of(path):
    return str(pathlib.PurePosixPath(path).parent)


def project_edges():
    """(from file, to file) for includes of this project's own headers."""
    for path in sources():
        for target, quoted in includes(path):
            if quoted and target.split("/")[0] in ALLOWED:
                yield path, target


def test_there_is_something_to_check():
    assert len(sources()) > 50
    assert len(list(project_edges())) > 100


def test_includes_follow_the_house():
    wrong = [f"{a} includes {b}" for a, b in project_edges()
             if b.split("/")[0] != a.split("/")[0] and b.split("/")[0] not in ALLOWED[a.split("/")[0]]]
    assert not wrong, "\n".join(wrong)


def test_included_headers_exist():
    wrong = [f"{a} includes {b}, which is not there" for a, b in project_edges() if not (ROOT / b).is_file()]
    assert not wrong, "\n".join(wrong)


def test_generated_headers_stay_at_the_edges():
    wrong = [f"{path} includes {target}" for path in sources() for target, _ in includes(path)
             if target.startswith("proto/") and not folder_of(path).startswith(PROTO_FOLDERS)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("pattern", RESTRICTED)
def test_device_and_transport_headers_stay_in_their_folders(pattern):
    wrong = [f"{path} includes {target}" for path in sources() for target, _ in includes(path)
             if re.fullmatch(pattern, target) and not folder_of(path).startswith(RESTRICTED[pattern])]
    assert not wrong, "\n".join(wrong)


def find_cycle(graph):
    """A cycle of the graph as a list of nodes, or None."""
    state, stack = {}, []

    def visit(node):
        state[node] = "open"
        stack.append(node)
        for successor in sorted(graph.get(node, ())):
            if state.get(successor) == "open":
                return stack[stack.index(successor):] + [successor]
            if successor not in state:
                cycle = visit(successor)
                if cycle:
                    return cycle
        stack.pop()
        state[node] = "done"
        return None

    for node in sorted(graph):
        if node not in state:
            cycle = visit(node)
            if cycle:
                return cycle
    return None


def test_cycles_are_found():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_folders_have_no_cycle():
    graph = {}
    for a, b in project_edges():
        if folder_of(a) != folder_of(b):
            graph.setdefault(folder_of(a), set()).add(folder_of(b))
    cycle = find_cycle(graph)
    assert cycle is None, " -> ".join(cycle or [])


def test_files_are_short_enough_to_hold_in_mind():
    files = tracked("*.h", "*.cc", "*.cu", "*.cuh", "*.py", "*.proto", "*.cmake", "*CMakeLists.txt")
    long = {f: n for f in files if (n := len((ROOT / f).read_text().splitlines())) > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines: {long}"


def test_headers_say_what_they_are():
    """Every header opens with a comment and guards itself."""
    wrong = [f for f in sources() if f.endswith(".h")
             and not ((text := (ROOT / f).read_text()).startswith("//") and "#pragma once" in text)]
    assert not wrong, "\n".join(wrong)


def test_no_drawer_for_odds_and_ends():
    wrong = [f for f in tracked("*") if re.search(r"(^|[/_])(utils?|helpers?|misc|common)([/_.]|$)", f)]
    assert not wrong, "\n".join(wrong)
