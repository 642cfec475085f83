"""The house's rules as tests: who may include whom, no cycles, how long a file may be, what a header holds."""

import re

import pytest

from include_graph import ALLOWED, ROOT, find_cycle, folder_of, includes, project_edges, sources, top_of, tracked

MAX_LINES = 500
# The only folders that may include generated protocol headers, MPI, gloo, NCCL and CUDA.
PROTO_FOLDERS = ("cli/preflight", "coordinator/dispatch", "coordinator/membership", "coordinator/api", "worker/rpc")
RESTRICTED = {
    r"mpi\.h": ("worker/collectives/mpi",),
    r"gloo/.*": ("worker/collectives/gloo",),
    r"nccl\.h": ("worker/collectives/nccl",),
    r"hwloc\.h": ("worker/topology",),
    r"xgrammar/.*|dlpack/.*": ("constraint",),
    r"cuda(_runtime|_runtime_api|_bf16|_fp8)?\.h|cublasLt\.h": ("worker/device", "worker/collectives/nccl", "kernels/cuda"),
}


def test_there_is_something_to_check():
    assert len(sources()) > 50
    assert len(list(project_edges())) > 100


def test_includes_follow_the_house():
    wrong = [f"{a} includes {b}" for a, b in project_edges()
             if top_of(b) != top_of(a) and top_of(b) not in ALLOWED[top_of(a)]]
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
