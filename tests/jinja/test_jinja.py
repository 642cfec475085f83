"""The interpreter of chat templates against Python's jinja2 with transformers' settings.

DEEPRACK_BUILD names the build folder (default: build).
"""

import pytest

from reference import answered, difference, expected
from templates import REFUSED, RENDERED, VARIABLES


@pytest.fixture(scope="module")
def answers() -> dict[str, dict]:
    templates = [*RENDERED.values(), *REFUSED.values()]
    return dict(zip(templates, answered([(template, VARIABLES) for template in templates])))


@pytest.mark.parametrize("name", RENDERED)
def test_text_is_jinja2s(name: str, answers: dict[str, dict]) -> None:
    expectation = expected(RENDERED[name], VARIABLES)
    assert "text" in expectation, expectation
    assert not difference(expectation, answers[RENDERED[name]])


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_jinja2(name: str, answers: dict[str, dict]) -> None:
    assert "error" in expected(REFUSED[name], VARIABLES)
    answer = answers[REFUSED[name]]
    assert answer.get("error", "").startswith("line 1: "), answer
