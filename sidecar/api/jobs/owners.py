"""Whose a job is: digits that stand for a caller, the same in every pod that knows the same keys."""

import asyncio
import functools
import hashlib
from collections.abc import Hashable

from aiohttp import web

from sidecar.api.app_keys import caller_of
from sidecar.jobs.record import Ref
from sidecar.wire import jobs

ANYBODY = "0" * 32
"""The owner in network mode, where nothing tells callers from one another."""
SALT = b"ocr-sidecar jobs"
ROUNDS = 100_000
"""A key without a name stands in the queue as its digest: guessing what it was made of must take long."""


async def owner_of(request: web.Request) -> str:
    """Return whose jobs the request is about."""
    return await asyncio.to_thread(digest_of, caller_of(request))


async def ref_of(request: web.Request) -> Ref:
    """Return which job the request is about.

    Raises:
        JobNotFoundError: its path holds no id.
    """
    return Ref(owner=await owner_of(request), id=jobs.parse_id(request.match_info["id"]))


@functools.lru_cache(maxsize=1024)
def digest_of(identity: Hashable) -> str:
    """Return the digits for a caller's identity; None is anybody."""
    if identity is None:
        return ANYBODY
    return hashlib.pbkdf2_hmac("sha256", str(identity).encode(), SALT, ROUNDS, 16).hex()
