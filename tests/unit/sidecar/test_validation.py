"""The words for what pydantic refuses, the same for settings, specs, rows, payloads and requests."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sidecar.validation import explain, explain_all

SECRET = "hunter2"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: Annotated[int, Field(ge=1)]
    name: str = ""

    @field_validator("name")
    @classmethod
    def _is_not_loud(cls, name: str) -> str:
        if name.isupper():
            raise ValueError("Lower-case letters are accepted")
        return name


def refused(**values: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(values)
    return caught.value


def by_place(verdict: str = ""):
    return lambda problem: explain(problem, ".".join(map(str, problem["loc"])), verdict)


@pytest.mark.parametrize(
    ("values", "verdict", "sentence"),
    [
        ({"number": 0}, "", "number: input should be greater than or equal to 1"),
        ({"number": 0}, " is 0", "number is 0: input should be greater than or equal to 1"),
        ({"number": 0}, " is 0, accepted", "number is 0, accepted: greater than or equal to 1"),
        ({"number": [SECRET]}, " is not accepted", "number is not accepted: a valid integer"),
        ({}, " is None, accepted", "number is missing"),
        ({"number": 1, "colour": SECRET}, " is 1", "colour is not a field that is known here"),
        ({"number": 1, "name": "LOUD"}, "", "name: lower-case letters are accepted"),
    ],
)
def test_a_problem_is_one_sentence_in_which_no_value_stands_that_was_not_given(values, verdict, sentence):
    assert explain_all(refused(**values), by_place(verdict)) == sentence


def test_the_first_problems_are_told_each_once():
    many = refused(number=0, name="LOUD", **{f"x{number}": SECRET for number in range(9)})
    assert explain_all(many, by_place()).count(";") == 4
    assert explain_all(many, by_place(), most=1) == "number: input should be greater than or equal to 1"
    assert explain_all(many, lambda _: "the same") == "the same"


def test_a_problem_of_all_of_it_has_no_name():
    with pytest.raises(ValidationError) as caught:
        Model.model_validate([SECRET])
    assert SECRET not in explain_all(caught.value, by_place())
