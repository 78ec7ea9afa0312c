"""The two tables as the mirror reads them, and its queries. Pure: nothing here connects to anything.

Only the columns that are read are listed. None has a type: a type would convert in the driver, where one invalid value
fails the whole read; ``rows`` checks the values row by row. Texts are cut in the query, one character past their limit,
so that no row can fill this process' memory.
"""

from collections.abc import Sequence

from sqlalchemy import Select, column, func, literal, select, table
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.expression import Label, TableClause

from controller.mirror.rows import MAX_CONTEXT_CHARS
from sidecar.profiles.payload import MAX_PROMPT_CHARS

MAX_ROWS = 5_000
"""More profiles than this are not mirrored: at five times the 1,000 that are planned for, it is a mistake."""

MAX_NAME_CHARS = 253
"""What Kubernetes lets a resource's name have; the column has 50, SQLite keeps to nothing."""

PROFILES = table(
    "ai_execution_profiles",
    column("id"),
    column("profile_name"),
    column("canonical_model"),
    column("temperature"),
    column("top_p"),
    column("max_tokens"),
    column("num_ctx"),
    column("repeat_penalty"),
    column("keep_alive_seconds"),
    column("is_active"),
)
PROMPTS = table(
    "ai_prompts",
    column("prompt_type"),
    column("version_number"),
    column("template"),
    column("is_active"),
    column("context_config"),
)


def select_profiles(models: Sequence[str]) -> Select[*tuple[object, ...]]:
    """Select the rows of these canonical models, one more than ``MAX_ROWS`` at most."""
    row_id, name, *rest = PROFILES.c
    rows = select(row_id, _cut(name, MAX_NAME_CHARS), *rest).where(PROFILES.c.canonical_model.in_(models))
    return rows.order_by(PROFILES.c.id).limit(MAX_ROWS + 1)


def select_prompts(prompt_type: str) -> Select[*tuple[object, ...]]:
    """Select the active prompts of this type, the highest version first; two suffice to see that there are several."""
    rows = select(
        PROMPTS.c.version_number,
        _cut(PROMPTS.c.template, MAX_PROMPT_CHARS),
        _cut(PROMPTS.c.context_config, MAX_CONTEXT_CHARS),
    )
    of_type = rows.where(PROMPTS.c.prompt_type == prompt_type, PROMPTS.c.is_active == 1)
    return of_type.order_by(PROMPTS.c.version_number.desc()).limit(2)


def _cut(text: KeyedColumnElement[object], max_chars: int) -> Label[object]:
    """Cut a text, which keeps its column's name: rows are read by name."""
    return func.substr(text, 1, max_chars + 1).label(text.key)


def select_any(of: TableClause) -> Select[int]:
    """Select one row if the table holds any."""
    return select(literal(1)).select_from(of).limit(1)
