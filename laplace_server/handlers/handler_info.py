"""INFO: what the server is and what it serves."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message, make_info_reply
from laplace_server.server.context import Server, context_of


def handle_info(server: Server, message: Message, target: Any) -> None:
    """Tell device, freedom, name, capabilities and lists as they are now."""
    context = context_of(server)
    reply = make_info_reply(
        context.name,
        target,
        device=server.device,
        freedom=server.freedom,
        name=server.name,
        capabilities=server.capabilities,
        name_list=server.name_list,
        plottables_list=server.plottables_list,
    )
    reply["payload"] |= context.added_info()
    core = context.core
    streams = {}
    for name in core.streams.names():
        first, last = core.streams.range_of(name)
        streams[name] = {"first": first, "last": last}
    if streams:
        reply["payload"] |= {"epoch": context.epoch, "streams": streams}
    context.socket.send_json(reply)
