"""Whom this service calls when a job has ended: the operator's list, and nothing that a caller can slip past it."""

import pytest

from sidecar.webhook_hosts import AllowedHost, callback_hosts, check_callback_url

ALLOWED = callback_hosts(
    "hooks.example, .corp.example, alt.example:8443, http://127.0.0.1:9, http://plain.example, [::1]"
)


def test_a_list_tells_scheme_host_and_port():
    assert callback_hosts("") == ()
    assert ALLOWED[:3] == (
        AllowedHost("https", "hooks.example", 443),
        AllowedHost("https", ".corp.example", 443),
        AllowedHost("https", "alt.example", 8443),
    )
    assert ALLOWED[3:] == (
        AllowedHost("http", "127.0.0.1", 9),
        AllowedHost("http", "plain.example", 80),
        AllowedHost("https", "::1", 443),
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/a?b=c",
        "HTTPS://HOOKS.EXAMPLE:443/",
        "https://a.b.corp.example/x",
        "https://alt.example:8443",
        "http://127.0.0.1:9/x",
        "http://plain.example/",
        "https://[::1]/",
    ],
)
def test_a_url_whose_host_is_listed_may_be_called(url):
    assert check_callback_url(url, ALLOWED) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://hooks.example:8443/",
        "https://corp.example/",
        "https://evilcorp.example/",
        "https://hooks.example.evil/",
        "https://evil/?x=https://hooks.example/",
        "https://evil#@hooks.example/",
        "https://hooks.example@evil/",
        "https://me:pw@hooks.example/",
        "https://hooks.example\\@evil/",
        "https://hooks.example /",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest",
        "ftp://hooks.example/",
        "//hooks.example/",
        "https://hooks.example:0/",
        "https://hooks.example:x/",
        "https://[::1/",
        "hooks.example",
        "",
    ],
)
def test_any_other_url_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="callbackUrl") as caught:
        check_callback_url(url, ALLOWED)
    assert not url or url not in str(caught.value)
