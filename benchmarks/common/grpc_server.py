"""A server of gRPC without generated code. The address is host and port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]

REQUIREMENT = "grpcio==1.85.1"
SERVICE = "device.Device"

WORKERS = 10  # as in the documentation's examples; a stream's subscriber keeps one


def serve(methods: dict[str, Any]) -> tuple[Any, str]:
    """Serve these handlers from gRPC's own threads; return the server, to keep, and its address."""
    server = grpc.server(ThreadPoolExecutor(WORKERS))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"
