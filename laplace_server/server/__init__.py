"""What a ServerLHC is made of."""

from laplace_server.wire.compiled import explain_missing

try:
    from laplace_server.server import _core as _core
except ImportError as error:
    raise explain_missing("laplace_server.server._core", error) from None
