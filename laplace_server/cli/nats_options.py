"""What commands ask of whoever has them go to NATS, and a device that is named by a URL there."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from laplace_server.cli.failures import NATS_SCHEMES, fail
from laplace_server.cli.option_names import options_named
from laplace_server.cli.values import check_seconds

if TYPE_CHECKING:
    from laplace_server.relay import NatsDevice

ONLY_NATS = ("site", "prefix", "domain", "creds", "ca", "cert", "cert_key")
"""The parameters that have these options."""

_FORM = "nats://HOST:PORT/DEVICE/STREAM"
NAMES = {"site": "--site", "prefix": "--prefix", "domain": "--domain"}
"""Options of the arguments that relays and devices in NATS have in common."""

Site = Annotated[str, typer.Option(help="Which site this is, in NATS's subjects.")]
Prefix = Annotated[
    str, typer.Option(help="What NATS's subjects begin with: PREFIX.SITE.DEVICE.STREAM.")
]
Domain = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="JetStream's domain, if not that of the NATS server."),
]
Creds = Annotated[Path | None, typer.Option(metavar="FILE", help="Credentials for NATS (.creds).")]
Authority = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Who signs NATS's certificates (TLS).")
]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Your own certificate for NATS (TLS).")
]
CertificateKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The key of that certificate.")
]


def is_nats(text: str) -> bool:
    """Say whether an address is one of NATS."""
    return text.startswith(NATS_SCHEMES)


def nats_options(
    site: str,
    prefix: str,
    domain: str | None,
    creds: Path | None,
    ca: Path | None,
    cert: Path | None,
    cert_key: Path | None,
) -> dict[str, Any]:
    """Return the arguments that relays and devices in NATS have in common.

    Raises:
        ValueError: the files cannot be read, or one is missing.
    """
    return {
        "site": site,
        "prefix": prefix,
        "domain": domain,
        "credentials": creds,
        "tls": _tls(ca, cert, cert_key),
    }


def nats_device(
    text: str, timeout_s: float, options: dict[str, Any]
) -> tuple[NatsDevice, str | None]:
    """Return the device that a text names, and the stream, if it names one; exit without nats-py.

    Names are written as in subjects: "Laser 2" is ``Laser%202``, and "a/b" ``a%2Fb``.

    Raises:
        ValueError: an argument is wrong.
    """
    check_seconds("--timeout", timeout_s)
    urls, _, last = text.rpartition(",")
    scheme, _, rest = last.partition("://")
    host, *names = rest.split("/")
    if not 1 <= len(names) <= 2 or not all(names):
        raise ValueError(f"{text!r} is not {_FORM}, nor that without a stream.")
    device, *streams = (unquote(each) for each in names)
    url = f"{urls}{',' if urls else ''}{scheme}://{host}"
    try:
        from laplace_server.relay import NatsDevice

        with options_named(nats_url=_FORM, **NAMES):
            made = NatsDevice(url, device, "laplace-server", timeout_s, **options)
    except ImportError as error:
        fail(str(error))
    return made, streams[0] if streams else None


def _tls(ca: Path | None, cert: Path | None, cert_key: Path | None) -> ssl.SSLContext | None:
    if ca is None and cert is None and cert_key is None:
        return None
    if (cert is None) is not (cert_key is None):
        raise ValueError("--cert and --cert-key belong together.")
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, cert_key)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"The files of --ca, --cert and --cert-key: {error}") from None
    return context
