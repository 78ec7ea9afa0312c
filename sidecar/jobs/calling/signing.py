"""Signs what is sent to a caller's server, so that it can tell it from what others send. Pure.

As Stripe and others do it: the time is signed as well, so that a call that was overheard cannot be sent again later.
"""

import hashlib
import hmac

HEADER = "X-Ocr-Signature"


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Return the header's value: the time in Unix seconds, and HMAC-SHA256 of it, a dot and the body in hex."""
    digest = hmac.new(secret, b"%d.%b" % (at_s, body), hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
