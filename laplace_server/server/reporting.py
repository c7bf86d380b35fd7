"""STATS: who the server is and what it counts. Runs no code of the program's."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import make_stats_reply
from laplace_server.server.context import Context
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.wire.version import package_version


def send_stats(context: Context, socket: ReplySocket, target: Any) -> None:
    """Answer with a snapshot; name and device are those that INFO shows from the core."""
    stats = {
        "name": context.name,
        "device": context.device,
        "version": package_version(),
        "transport": context.transport,
        "epoch": context.epoch,
        **context.stats_as_json(),
    }
    socket.send_json(make_stats_reply(context.name, target, stats=stats))
