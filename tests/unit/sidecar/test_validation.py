"""The words for what pydantic refuses, the same for settings, specs, rows, payloads and requests."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sidecar.validation import accepting, explain, explain_all, explain_value

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
        ({"number": [SECRET]}, " is not accepted", "number is not accepted: a whole number"),
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


class Several(BaseModel):
    switch: bool = False
    share: Annotated[float, Field(allow_inf_nan=False)] = 0
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    options: dict[str, int] = {}
    short: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    inner: Model | None = None
    which: Annotated[str | list[int], accepting("text, or a list of numbers")] = ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"switch": "perhaps"}, "switch is 'perhaps', accepted: true or false"),
        ({"share": []}, "share is [], accepted: a number"),
        ({"share": "half"}, "share is 'half', accepted: a number"),
        ({"share": float("inf")}, "share is Infinity, accepted: a finite number"),
        ({"names": "a"}, "names is 'a', accepted: a list"),
        ({"names": []}, "names is [], accepted: at least 1 of them"),
        ({"names": ["a", "b", "c"]}, 'names is ["a", "b", "c"], accepted: at most 2 of them'),
        ({"names": [5]}, "names.0 is 5, accepted: text"),
        ({"options": "a"}, "options is 'a', accepted: an object"),
        ({"options": {"a": 1.5}}, "options.a is 1.5, accepted: a whole number"),
        ({"options": {"a": "9" * 5000}}, f"options.a is '{'9' * 79}, accepted: a whole number"),
        ({"short": "a"}, "short is 'a', accepted: text of at least 2 characters"),
        ({"short": "ยาวไป"}, "short is 'ยาวไป', accepted: text of at most 3 characters"),
        ({"inner": [True]}, "inner is [true], accepted: an object"),
        ({"which": [1, "a"]}, 'which is [1, "a"], accepted: text, or a list of numbers'),
        ({"which": {}}, "which is {}, accepted: text, or a list of numbers"),
    ],
)
def test_what_is_accepted_is_said_in_our_words_and_the_value_as_its_author_wrote_it(values, sentence):
    with pytest.raises(ValidationError) as caught:
        Several.model_validate(values)
    told = explain_all(caught.value, lambda problem: explain_value(problem, ".".join(map(str, problem["loc"]))))
    assert told == sentence


def test_a_problem_of_all_of_it_has_no_name():
    with pytest.raises(ValidationError) as caught:
        Model.model_validate([SECRET])
    assert SECRET not in explain_all(caught.value, by_place())
