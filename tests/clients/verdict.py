"""The pydantic model that the tests of clients ask answers of. Its longest value is short, so that any model comes to its end."""
import enum
from typing import Literal, Optional

import pydantic

import scripted_servers


class Colour(str, enum.Enum):
    RED = "red"
    GREEN = "green"


class Reason(pydantic.BaseModel):
    colour: Colour
    weight: int = pydantic.Field(ge=0, le=100)


class Verdict(pydantic.BaseModel):
    """A verdict with its reasons."""

    answer: Literal["yes", "no"]
    note: str = pydantic.Field(max_length=12)
    doubt: Optional[bool]
    reasons: list[Reason] = pydantic.Field(max_length=2)


VERDICT = Verdict(**scripted_servers.VERDICT)
