"""Coroutines that run together, as many as a caller allows: when one fails, all end."""

import asyncio
from collections.abc import Coroutine, Iterable


async def run_together(coroutines: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all; the first failure ends the others, and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
