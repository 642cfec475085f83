"""The processes of this machine, as /proc has them."""
import pathlib


def processes_under(root):
    """Ids of the processes that descend from `root`, itself not included."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, frontier = [], [root]
    while frontier:
        frontier = [pid for pid, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def workers_under(root):
    """Those of them that are ranks."""
    def is_worker(pid):
        try:
            return (pathlib.Path("/proc") / str(pid) / "comm").read_text().strip() == "deeprack-worker"[:15]
        except OSError:
            return False

    return sorted(pid for pid in processes_under(root) if is_worker(pid))
