"""The clusters that the tests of the API ask."""
import pytest

from ranks_cluster import Cluster


@pytest.fixture(scope="session")
def cluster():
    """One cluster of two ranks, shared by all tests that do not change its state."""
    running = Cluster(2).wait_until_ready()
    yield running
    assert running.stop() == 0, running.read_log()


@pytest.fixture
def own_cluster():
    """A cluster for one test, which may break it."""
    running = Cluster(2).wait_until_ready()
    yield running
    running.stop()
