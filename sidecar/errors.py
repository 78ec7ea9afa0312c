"""The errors a caller can get: each class has its HTTP status, its code and whether trying again can help.

::

    SidecarError                      500 internal_error
    ├── BadRequestError               400 bad_request
    │   ├── KeepAliveRefusedError     400 keep_alive_refused
    │   ├── MalformedBodyError        400 malformed_body
    │   ├── SystemPromptError         400 bad_system_prompt
    │   ├── UserPromptError           400 bad_user_prompt
    │   ├── BadFieldJsonError         400 bad_json
    │   ├── UnknownEngineError        400 unknown_engine
    │   └── BadTagError               400 bad_tag_name
    ├── UnauthorizedError             401 unauthorized
    ├── PathForbiddenError            403 path_forbidden
    ├── UploadNotFoundError           404 file_not_found
    ├── JobNotFoundError              404 job_not_found
    ├── JobRunningError               409 job_running           (retryable)
    ├── JobConflictError              409 job_conflict
    ├── JobExpiredError               410 job_expired
    ├── ReceiveTimeoutError           408 receive_timeout       (retryable)
    ├── TooLargeError                 413 too_large
    │   ├── FieldTooLargeError        413 field_too_large
    │   ├── PageTooLargeError         413 page_too_large
    │   └── TooManyPagesError         413 too_many_pages
    ├── UnsupportedMediaError         415 unsupported_media_type
    ├── InvalidValueError             422 invalid_value
    │   ├── FilePartError             422 file_missing
    │   ├── UnknownProfileError       422 unknown_profile
    │   ├── LanguageMissingError      422 language_missing
    │   └── SignatureError            422 signature_would_break
    ├── UnreadableDocumentError       422 document_unreadable
    │   ├── EncryptedDocumentError    422 document_encrypted
    │   ├── EmptyDocumentError        422 document_empty
    │   ├── ExpansionBombError        422 decompression_bomb
    │   ├── NoTextError               422 no_text
    │   ├── PageUnreadableError       422 page_unreadable
    │   └── PageQuarantinedError      422 page_quarantined
    ├── QueueFullError                429 queue_full            (retryable)
    │   └── QuotaExhaustedError       429 quota_exhausted       (retryable)
    ├── EngineFailedError             502 engine_failed         (retryable)
    │   ├── EngineRefusedError        502 engine_refused
    │   └── GpuOutOfMemoryError       502 gpu_out_of_memory     (retryable)
    ├── StorageError                  503 storage_unavailable   (retryable)
    ├── JobsUnavailableError          503 jobs_unavailable      (retryable)
    ├── EngineUnavailableError        503 engine_unavailable    (retryable)
    │   ├── GpuPressureError          503 gpu_pressure          (retryable)
    │   ├── ModelMissingError         503 model_missing         (retryable)
    │   ├── ModelLoadingError         503 model_loading         (retryable)
    │   ├── NotConfiguredError        503 not_configured
    │   └── ShuttingDownError         503 shutting_down         (retryable)
    └── DeadlineError                 504 deadline_exceeded     (retryable)

``detail`` is for the caller: what was wrong, with which value, what is accepted. It never holds a path of this
machine, a prompt, document text or a foreign exception's text. This module knows no framework.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Self


class SidecarError(Exception):
    """Anything this service refuses or fails at; the base class itself means a bug and tells the caller nothing."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "internal error", *, field: str = "", retry_after_s: int | None = None) -> None:
        """Make an error whose detail is this; where ``field`` is given, its name comes before it.

        ``field`` is a field of `/ocr-upload`, which callers in a dialect call otherwise.
        """
        detail = f"{field} {detail}" if field else detail
        super().__init__(detail, retry_after_s)
        self.detail = detail.encode("utf-8", "replace").decode()  # a quoted name may hold what JSON cannot
        self.field = field
        self.retry_after_s = retry_after_s

    def named(self, names: Mapping[str, str]) -> Self:
        """Return the error with its field called as in ``names``, if it is there."""
        if not self.field or self.field not in names:
            return self
        said = self.detail.removeprefix(f"{self.field} ")
        return type(self)(said, field=names[self.field], retry_after_s=self.retry_after_s)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep all fields when pickled: worker processes raise these, too."""
        said = self.detail.removeprefix(f"{self.field} ") if self.field else self.detail
        return _rebuild, (type(self), said, self.field, self.retry_after_s)


def _rebuild(kind: type[SidecarError], said: str, field: str, retry_after_s: int | None) -> SidecarError:
    return kind(said, field=field, retry_after_s=retry_after_s)


class BadRequestError(SidecarError):
    """The request contradicts the contract."""

    status = 400
    code = "bad_request"


class KeepAliveRefusedError(BadRequestError):
    """A caller tried to choose how long the model stays in VRAM; the residency policy decides that."""

    code = "keep_alive_refused"


class MalformedBodyError(BadRequestError):
    """The body is not the multipart or JSON it claims to be."""

    code = "malformed_body"


class SystemPromptError(BadRequestError):
    """An empty or overlong system prompt."""

    code = "bad_system_prompt"


class UserPromptError(BadRequestError):
    """An overlong user prompt, or one that is no text."""

    code = "bad_user_prompt"


class BadFieldJsonError(BadRequestError):
    """A form field that should hold JSON does not."""

    code = "bad_json"


class UnknownEngineError(BadRequestError):
    """No such engine."""

    code = "unknown_engine"


class BadTagError(BadRequestError):
    """A DMS tag name outside its syntax."""

    code = "bad_tag_name"


class UnauthorizedError(SidecarError):
    """The API key is missing or wrong; the caller is not told which."""

    status = 401
    code = "unauthorized"


class PathForbiddenError(SidecarError):
    """A path outside the upload base, or something that is not a regular file."""

    status = 403
    code = "path_forbidden"


class UploadNotFoundError(SidecarError):
    """A path inside the upload base where no file is."""

    status = 404
    code = "file_not_found"


class JobNotFoundError(SidecarError):
    """No such job, or not one of this caller's."""

    status = 404
    code = "job_not_found"


class JobRunningError(SidecarError):
    """What is asked for is there once the job has ended."""

    status = 409
    code = "job_running"
    retryable = True


class JobConflictError(SidecarError):
    """A job's key is used for another document or other fields, or its state does not allow what is asked."""

    status = 409
    code = "job_conflict"


class JobExpiredError(SidecarError):
    """A job whose result was kept as long as results are."""

    status = 410
    code = "job_expired"


class ReceiveTimeoutError(SidecarError):
    """The body did not arrive in time."""

    status = 408
    code = "receive_timeout"
    retryable = True


class TooLargeError(SidecarError):
    """The document has more bytes than the limit."""

    status = 413
    code = "too_large"


class FieldTooLargeError(TooLargeError):
    """A form field or JSON body has more bytes than the limit."""

    code = "field_too_large"


class PageTooLargeError(TooLargeError):
    """A page would have more pixels than the limit."""

    code = "page_too_large"


class TooManyPagesError(TooLargeError):
    """More pages are to be read than the limit."""

    code = "too_many_pages"


class UnsupportedMediaError(SidecarError):
    """Not a kind of document or body that is read here."""

    status = 415
    code = "unsupported_media_type"


class InvalidValueError(SidecarError):
    """A field's value is outside its range, or the field does not exist."""

    status = 422
    code = "invalid_value"


class FilePartError(InvalidValueError):
    """The multipart body does not hold exactly one ``file``."""

    code = "file_missing"


class UnknownProfileError(InvalidValueError):
    """No such OcrProfile is published."""

    code = "unknown_profile"


class LanguageMissingError(InvalidValueError):
    """A language that is not installed."""

    code = "language_missing"


class SignatureError(InvalidValueError):
    """The document is signed, something would be added to it, and the request says that its signature must stay."""

    code = "signature_would_break"


class UnreadableDocumentError(SidecarError):
    """The document cannot be opened."""

    status = 422
    code = "document_unreadable"


class EncryptedDocumentError(UnreadableDocumentError):
    """The document needs a password."""

    code = "document_encrypted"


class EmptyDocumentError(UnreadableDocumentError):
    """No bytes, or no pages."""

    code = "document_empty"


class ExpansionBombError(UnreadableDocumentError):
    """A stream that expands to far more than it should."""

    code = "decompression_bomb"


class NoTextError(UnreadableDocumentError):
    """Nothing is written in the document, and the dialect in which it was sent makes that an error."""

    code = "no_text"


class PageUnreadableError(UnreadableDocumentError):
    """A page on which reading fails every time."""

    code = "page_unreadable"


class PageQuarantinedError(UnreadableDocumentError):
    """A page of a job that is not read again: twice whoever read it alone did not come back."""

    code = "page_quarantined"


class QueueFullError(SidecarError):
    """More work is waiting than the queue may hold."""

    status = 429
    code = "queue_full"
    retryable = True


class QuotaExhaustedError(QueueFullError):
    """The documents of this API key in work have reached its limit."""

    code = "quota_exhausted"


class EngineFailedError(SidecarError):
    """The engine answered with a failure."""

    status = 502
    code = "engine_failed"
    retryable = True
    is_lost = False
    """Whether the connection broke, or the process that ran the model ended: perhaps because memory was short."""


class EngineRefusedError(EngineFailedError):
    """The model server answered, and refused this page: its context is too small, or it takes no pictures."""

    code = "engine_refused"
    retryable = False


class GpuOutOfMemoryError(EngineFailedError):
    """The GPU had not enough memory for the model's call."""

    code = "gpu_out_of_memory"


class StorageError(SidecarError):
    """A file cannot be read or written now, through no fault of the caller."""

    status = 503
    code = "storage_unavailable"
    retryable = True


class JobsUnavailableError(SidecarError):
    """The queue of jobs does not answer, or has no room."""

    status = 503
    code = "jobs_unavailable"
    retryable = True


class ServerState(StrEnum):
    """How a model server is that cannot be used: away, not ready, closed to our key, or not asked for want of one."""

    UNREACHABLE = "unreachable"
    LOADING = "loading"
    KEY_REFUSED = "key-refused"
    KEY_UNREADABLE = "key-unreadable"


class EngineUnavailableError(SidecarError):
    """The engine is not there, or not loaded."""

    status = 503
    code = "engine_unavailable"
    retryable = True
    state: ServerState = ServerState.UNREACHABLE
    """How the model server is, where it is one that cannot be used."""


class GpuPressureError(EngineUnavailableError):
    """Loading the OCR model now would push another model out of the GPU."""

    code = "gpu_pressure"


class ModelMissingError(EngineUnavailableError):
    """The model server does not have the model."""

    code = "model_missing"


class ModelLoadingError(EngineUnavailableError):
    """A model of this service is not loaded yet."""

    code = "model_loading"


class NotConfiguredError(EngineUnavailableError):
    """This service was not set up for what is asked of it: it has no such engine, or no such model."""

    code = "not_configured"
    retryable = False


class ShuttingDownError(EngineUnavailableError):
    """This process has been told to stop."""

    code = "shutting_down"


class DeadlineError(SidecarError):
    """A page or a document took longer than its deadline."""

    status = 504
    code = "deadline_exceeded"
    retryable = True


def error_classes() -> dict[str, type[SidecarError]]:
    """Return every class of the tree by its code."""
    found: dict[str, type[SidecarError]] = {}
    todo: list[type[SidecarError]] = [SidecarError]
    while todo:
        kind = todo.pop()
        found[kind.code] = kind
        todo.extend(kind.__subclasses__())
    return found
