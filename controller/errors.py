"""What can go wrong between the controller and the API server. Pure.

::

    ClusterError
    ├── NotFoundError       404: the object, or the kind of object, is not there
    ├── ConflictError       409: it was changed meanwhile, or exists already
    ├── ForbiddenError      401, 403: the Role lacks a verb, or the token is invalid
    ├── TerminatingError    403: the namespace is being deleted, so nothing can be made there
    ├── RefusedError        other 4xx: the API server will never take this object
    ├── BusyError           429: to be asked later
    └── UnavailableError    5xx, no connection, no answer in time, or the answer of something else
"""


class ClusterError(Exception):
    """The API server did not do what it was asked; the text says what was asked and what it answered."""


class NotFoundError(ClusterError):
    """The object, or the kind of object, is not there."""


class ConflictError(ClusterError):
    """The object was changed meanwhile, or exists already."""


class ForbiddenError(ClusterError):
    """The Role lacks a verb, or the token is invalid."""


class TerminatingError(ClusterError):
    """The namespace is being deleted: nothing new can be made there, and what is there goes."""


class RefusedError(ClusterError):
    """The API server will never take this object as it is."""


class BusyError(ClusterError):
    """The API server wants to be asked later."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(ClusterError):
    """The API server failed, cannot be reached, did not answer in time, or something else answered in its place."""
