"""The tree's sources and who includes whom."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# folder -> folders it may include (docs/OVERVIEW.md, "Folders"). A folder may include itself.
ALLOWED = {
    "base": set(),
    "model": {"base"},
    "constraint": {"base", "model"},
    "settings": {"base", "model"},
    "checkpoint": {"base", "model"},
    "kernels": {"base"},
    "sizing": {"base", "model", "checkpoint", "kernels"},
    "coordinator": {"base", "model", "constraint", "settings", "proto"},
    "worker": {"base", "model", "constraint", "checkpoint", "kernels", "sizing", "settings", "proto"},
    "cli": {"base", "model", "checkpoint", "kernels", "sizing", "settings", "proto"},
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


def top_of(path):
    return path.split("/")[0]


def project_edges():
    """(from file, to file) for includes of this project's own headers."""
    for path in sources():
        for target, quoted in includes(path):
            if quoted and top_of(target) in ALLOWED:
                yield path, target


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
