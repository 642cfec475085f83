"""Finds processes of this machine in /proc, and reads what they write."""
import os
import pathlib


def processes_under(root):
    """Ids of the processes that descend from `root`, without `root`."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # the process has ended
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, frontier = [], [root]
    while frontier:
        frontier = [pid for pid, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def workers_under(root):
    """Ids of the ranks among the processes that descend from `root`."""
    def is_worker(pid):
        try:
            return (pathlib.Path("/proc") / str(pid) / "comm").read_text().strip() == "deeprack-worker"[:15]
        except OSError:
            return False

    return sorted(pid for pid in processes_under(root) if is_worker(pid))


def text_of(file):
    """The text of a file that processes write to. Does not seek: the processes share the file's position, and would write there."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
