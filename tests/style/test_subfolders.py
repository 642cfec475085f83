"""Who may include whom inside the big folders, and the one door into kernels/."""

import pytest

from include_graph import folder_of, project_edges, top_of

# folder -> folders of the same top folder that it may include. A folder without a line may include only itself.
# "folder/*" stands for the folder's subfolders.
ALLOWED_INSIDE = {
    # Types and block formats stand alone; quantizers and the cluster's certificates build on them.
    "base/keys": {"base"},
    "base/quantize": {"base"},
    "base/rpc": {"base"},
    # From the config to the tensors it implies, to the layout of ranks, to a rank's slices.
    "model/files": {"model/config", "model/gguf"},
    "model/gguf": {"model/config", "model/tensors"},
    "model/layout": {"model/config"},
    "model/shard": {"model/layout", "model/tensors"},
    "model/tensors": {"model/config"},
    # checkpoint reads single tensors; the subfolders read what several tensors mean.
    "checkpoint/check": {"checkpoint", "checkpoint/group_quantized"},
    "checkpoint/group_quantized": {"checkpoint"},
    # Backends implement api and do not know each other. Hopper's table falls back on the plain kernels.
    "kernels/cpu": {"kernels/api", "kernels/draw"},
    "kernels/cuda/choice": {"kernels/api", "kernels/cuda/sm90"},
    "kernels/cuda/hopper": {"kernels/api", "kernels/cuda/choice", "kernels/cuda/plain", "kernels/cuda/sm90"},
    "kernels/cuda/plain": {"kernels/api", "kernels/draw", "kernels/cuda/emulator"},
    "kernels/cuda/sm90": {"kernels/api", "kernels/cuda/plain", "kernels/cuda/sm90/emulator", "kernels/cuda/sm90/isa"},
    "kernels/cuda/sm90/emulator": {"kernels/api", "kernels/cuda/emulator", "kernels/cuda/plain",
                                   "kernels/cuda/sm90/isa"},
    "kernels/packing": {"kernels/api", "kernels/cpu"},
    "kernels/reference": {"kernels/api"},
    # HTTP -> text -> scheduler -> dispatch; membership decides nothing about requests.
    "coordinator": {"coordinator/*", "coordinator/api/responses"},
    "coordinator/api": {"coordinator/access", "coordinator/chat", "coordinator/dispatch", "coordinator/request", "coordinator/tokenizer"},
    "coordinator/api/anthropic": {"coordinator/api", "coordinator/chat"},
    "coordinator/api/llama_cpp": {"coordinator/api"},
    "coordinator/api/responses": {"coordinator/api", "coordinator/chat"},
    "coordinator/chat": {"coordinator/chat/jinja", "coordinator/tokenizer"},
    "coordinator/chat/jinja": {"coordinator/tokenizer"},
    "coordinator/dispatch": {"coordinator/request", "coordinator/scheduler"},
    "coordinator/membership": {"coordinator/placement"},
    "coordinator/scheduler": {"coordinator/blocks", "coordinator/request"},
    # rpc -> engine -> decoder and sampling -> collectives, weights and cache -> device. The table of sequences is
    # pure: rpc keeps it, and the others read what it resolves.
    "worker/collectives": {"worker/device"},
    "worker/collectives/gloo": {"worker/collectives"},
    "worker/collectives/local": {"worker/collectives"},
    "worker/collectives/mpi": {"worker/collectives"},
    "worker/collectives/nccl": {"worker/collectives", "worker/device"},
    "worker/collectives/peer": {"worker/collectives", "worker/device"},
    "worker/collectives/staged": {"worker/collectives", "worker/device"},
    "worker/decoder": {"worker/collectives", "worker/collectives/peer", "worker/device", "worker/kv_cache",
                       "worker/sequences", "worker/weights"},
    "worker/device/cuda": {"worker/device"},
    "worker/device/emulated": {"worker/device"},
    "worker/engine": {"worker/collectives", "worker/decoder", "worker/device", "worker/kv_cache", "worker/sampling",
                      "worker/sequences", "worker/weights"},
    "worker/kv_cache": {"worker/device"},
    "worker/rpc": {"worker/collectives", "worker/collectives/*", "worker/device", "worker/device/cuda",
                   "worker/engine", "worker/sequences", "worker/topology", "worker/weights"},
    "worker/sampling": {"worker/device", "worker/sequences"},
    "worker/topology": {"worker/device"},
    "worker/weights": {"worker/device"},
    # A command may start servers and talk to them; only main knows all commands.
    "cli": {"cli/*"},
    "cli/bench": {"cli/http", "cli/serve", "cli/terminal"},
    "cli/certs": {"cli/terminal"},
    "cli/chat": {"cli/http", "cli/terminal"},
    "cli/demo": {"cli/chat", "cli/http", "cli/serve", "cli/terminal"},
    "cli/keys": {"cli/terminal"},
    "cli/load": {"cli/bench", "cli/http", "cli/serve", "cli/terminal"},
    "cli/pack": {"cli/serve", "cli/terminal"},
    "cli/perplexity": {"cli/http", "cli/serve", "cli/terminal"},
    "cli/plan": {"cli/serve", "cli/terminal"},
    "cli/preflight": {"cli/plan", "cli/serve", "cli/terminal"},
    "cli/quantize": {"cli/perplexity", "cli/serve", "cli/terminal"},
    "cli/serve": {"cli/http", "cli/terminal"},
}

# The only headers of kernels/ outside kernels/api that another top folder may include, and why.
KERNEL_DOORS = {
    # The emulated card's queue is what Execution::stream points to: the device must own and run one.
    ("worker/device/emulated", "kernels/cuda/emulator/stream.h"),
}


def is_allowed(source, target, allowed):
    """True when folder `source` may include folder `target` of the same top folder."""
    if source == target:
        return True
    return any(target == one or (one.endswith("/*") and folder_of(target) == one[:-2])
               for one in allowed.get(source, ()))


def inner_edges():
    """(from file, to file) within one top folder."""
    return [(a, b) for a, b in project_edges() if top_of(a) == top_of(b)]


def test_subfolders_follow_the_table():
    wrong = [f"{a} includes {b}" for a, b in inner_edges()
             if not is_allowed(folder_of(a), folder_of(b), ALLOWED_INSIDE)]
    assert not wrong, "\n".join(wrong)


def test_the_table_names_no_edge_that_nothing_uses():
    used = {(folder_of(a), folder_of(b)) for a, b in inner_edges()}
    unused = [f"{source} -> {target}" for source, targets in ALLOWED_INSIDE.items() for target in targets
              if not any(a == source and is_allowed(source, b, {source: {target}}) and a != b for a, b in used)]
    assert not unused, "\n".join(unused)


@pytest.mark.parametrize("source, target, expected", [
    ("a", "a", True), ("a", "a/b", True), ("a", "a/b/c", False), ("a/b", "a/d", True), ("a/d", "a/b", False)])
def test_the_table_is_read_right(source, target, expected):
    assert is_allowed(source, target, {"a": {"a/*"}, "a/b": {"a/d"}}) == expected


def test_kernels_are_entered_through_their_api():
    wrong = [f"{a} includes {b}" for a, b in project_edges()
             if top_of(b) == "kernels" and top_of(a) != "kernels" and folder_of(b) != "kernels/api"
             and (folder_of(a), b) not in KERNEL_DOORS]
    assert not wrong, "\n".join(wrong)


def test_kernel_doors_are_used():
    used = {(folder_of(a), b) for a, b in project_edges()}
    assert KERNEL_DOORS <= used, KERNEL_DOORS - used
