"""instructor: its modes for servers like OpenAI's, whole answers and streams."""
from typing import Literal

import instructor
import openai
import pydantic
import pytest
from instructor import Mode

from scripted_servers import MODEL
from verdict import VERDICT, Verdict

QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
CALLS, CONTENT = [Mode.TOOLS, Mode.TOOLS_STRICT], [Mode.JSON, Mode.JSON_SCHEMA]


def client_of(server, mode):
    return instructor.from_openai(openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0, timeout=60), mode=mode)


@pytest.mark.parametrize("mode", CALLS + CONTENT)
def test_a_model_that_answers_so(request, mode):
    client = client_of(request.getfixturevalue("verdict_calls" if mode in CALLS else "verdicts"), mode)
    ask = {"model": MODEL, "messages": QUESTION, "response_model": Verdict, "max_retries": 0}
    # The answer's class is one that instructor derives from Verdict.
    assert client.chat.completions.create(**ask).model_dump() == VERDICT.model_dump()


class Short(pydantic.BaseModel):
    answer: Literal["yes", "no"]
    note: str = pydantic.Field(max_length=12)


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON_SCHEMA])
def test_partial_answers(verdicts, mode):
    """The stream demands a function and a schema of names of its own, which the script does not know."""
    ask = {"model": MODEL, "messages": QUESTION, "response_model": Short, "max_retries": 0}
    parts = list(client_of(verdicts, mode).chat.completions.create_partial(**ask))
    assert len(parts) > 1 and Short.model_validate(parts[-1].model_dump())


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON_SCHEMA])
def test_whatever_the_model_says(demo, mode):
    finished = 0
    for seed in range(4):
        try:
            verdict = client_of(demo, mode).chat.completions.create(
                model="demo", messages=QUESTION, response_model=Verdict, max_retries=0, temperature=1, seed=seed, max_tokens=800)
        except instructor.core.IncompleteOutputException:  # cut by max_tokens
            continue
        assert isinstance(verdict, Verdict)
        finished += 1
    assert finished > 1
