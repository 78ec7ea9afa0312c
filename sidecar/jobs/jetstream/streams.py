"""The streams that jobs live in, and their consumers; made where they are missing, by whichever pod comes first."""

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from sidecar.jobs.record import Lane

TURNS, DUE, BLOBS, ENDED, CALLBACKS, PARKED = (
    "OCR_TURNS",
    "OCR_DUE",
    "OCR_BLOBS",
    "OCR_ENDED",
    "OCR_CALLBACKS",
    "OCR_PARKED",
)
RECORDS, GONE = "ocr-jobs", "ocr-gone"
ACK_WAIT_S = 20.0
"""A turn whose holder gives no sign for so long is handed out again: so long a dead pod's slices are missing."""
DUPLICATES_S = 120.0
GONE_FOR_S = 30 * 86400.0
"""How long it is remembered of a job that there was one."""
DUE_CONSUMER = "due"
"""Nobody takes from it: what it has pending is what there is to do, for whoever decides how many pods there are."""
BLOB_BYTES = 512 * 1024
"""Longest message: a server accepts a megabyte, as it comes."""


def turns_consumer(lane: Lane) -> str:
    """Return the name of a queue's consumer."""
    return f"turns-{lane}"


def turns_subject(lane: str) -> str:
    """Return the subject of a queue; of all where it is ``*``."""
    return f"ocr.turn.{lane}"


async def ensure(js: JetStreamContext, replicas: int) -> None:
    """Make what is missing; what is there stays as it is."""
    for config in _streams(replicas):
        await _ensure_stream(js, config)
    for bucket, ttl in ((RECORDS, None), (GONE, GONE_FOR_S)):
        try:
            await js.key_value(bucket)
        except NotFoundError:
            await js.create_key_value(KeyValueConfig(bucket, history=1, ttl=ttl, replicas=replicas))
    for stream, consumer in _consumers():
        await js.add_consumer(stream, consumer)


async def _ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.stream_info(str(config.name))
    except NotFoundError:
        try:
            await js.add_stream(config)
        except BadRequestError:  # another pod made it just now
            await js.stream_info(str(config.name))


def _streams(replicas: int) -> list[StreamConfig]:
    return [
        _stream(TURNS, "ocr.turn.*", replicas, RetentionPolicy.WORK_QUEUE),
        _stream(DUE, "ocr.due.>", replicas, per_subject=1),
        _stream(BLOBS, "ocr.blob.>", replicas, per_subject=1),
        _stream(ENDED, "ocr.ended.*", replicas),
        _stream(CALLBACKS, "ocr.callback", replicas, RetentionPolicy.WORK_QUEUE),
        _stream(PARKED, "ocr.parked.>", replicas),
    ]


def _stream(
    name: str,
    subject: str,
    replicas: int,
    retention: RetentionPolicy = RetentionPolicy.LIMITS,
    per_subject: int = -1,
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=retention,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,  # what does not fit is refused; nothing that was accepted makes way
        num_replicas=replicas,
        duplicate_window=DUPLICATES_S,
        max_msgs_per_subject=per_subject,
    )


def _consumers() -> list[tuple[str, ConsumerConfig]]:
    waiting = [(TURNS, _puller(turns_consumer(lane), turns_subject(lane))) for lane in Lane]
    due = ConsumerConfig(durable_name=DUE_CONSUMER, ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.ALL)
    return [*waiting, (CALLBACKS, _puller("callbacks", "ocr.callback")), (DUE, due)]


def _puller(name: str, subject: str) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=-1,
    )
