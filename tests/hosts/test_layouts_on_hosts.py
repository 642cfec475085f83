"""Four hosts with one rank each give the greedy text of one process, over MPI and over gloo."""

import os

import pytest

from clusters import OverGloo, over_mpi
from rack import Rack
from test_layouts import answers_of, answers_of_one_rank

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

LAYOUTS = [
    ("--tp", 2, "--dp", 2),
    ("--dp", 4, "--ep", 4, "--expert-exchange", "all_to_all"),
    ("--pp", 2, "--tp", 2),
]


@pytest.fixture(scope="module")
def rack():
    four = Rack(4)
    yield four
    four.close()


@pytest.mark.parametrize("cluster", [over_mpi, OverGloo], ids=["mpi", "gloo"])
@pytest.mark.parametrize("flags", LAYOUTS, ids=lambda flags: " ".join(map(str, flags)))
def test_four_hosts_give_the_text_of_one_process(rack, flags, cluster):
    expected = answers_of_one_rank()
    with rack.head.entered():
        cluster = cluster(rack, *flags)
        with cluster as server:
            assert [len(host.workers()) for host in rack.hosts] == [1, 1, 1, 1]
            assert answers_of(server) == expected
    assert server.exit_code == 0, server.read_log()
