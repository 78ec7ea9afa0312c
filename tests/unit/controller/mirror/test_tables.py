"""The queries of the mirror, as each kind of database gets them."""

from dataclasses import fields

import pytest
from sqlalchemy.dialects import mysql, sqlite

from controller.mirror.rows import ProfileRow, PromptRow
from controller.mirror.tables import PROFILES, PROMPTS, select_any, select_profiles, select_prompts

QUERIES = {
    "profiles": select_profiles(["np-dms-ocr"]),
    "prompts": select_prompts("ocr_extraction"),
    "any profile": select_any(PROFILES),
    "any prompt": select_any(PROMPTS),
}


@pytest.mark.parametrize("dialect", [mysql.dialect(), sqlite.dialect()], ids=["mysql", "sqlite"])
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_mirror_only_selects_and_only_from_its_two_tables(query, dialect):
    words = str(query.compile(dialect=dialect)).split()
    assert words[0] == "SELECT"
    assert words[words.index("FROM") + 1].strip("`") in ("ai_execution_profiles", "ai_prompts")
    assert words.count("FROM") == 1
    assert ";" not in str(query.compile(dialect=dialect))


def test_values_are_bound_not_written_into_the_statement():
    statement = select_prompts("x' OR 1=1 --").compile(dialect=mysql.dialect())
    assert "OR 1=1" not in str(statement)
    assert "x' OR 1=1 --" in statement.params.values()


def test_no_more_is_read_of_a_text_than_tells_that_it_is_too_long():
    params = select_prompts("ocr_extraction").compile(dialect=mysql.dialect()).params.values()
    assert 10_001 in params
    assert 65_537 in params


def test_every_value_has_the_name_of_its_column_so_that_rows_are_read_by_name():
    for query, row in ((QUERIES["profiles"], ProfileRow), (QUERIES["prompts"], PromptRow)):
        assert {column.name for column in query.selected_columns} == {field.name for field in fields(row)}


def test_two_prompts_tell_that_one_is_too_many():
    compiled = select_prompts("ocr_extraction").compile(dialect=mysql.dialect(), compile_kwargs={"literal_binds": True})
    assert "ORDER BY ai_prompts.version_number DESC" in str(compiled)
    assert str(compiled).rstrip().endswith("LIMIT 2")
