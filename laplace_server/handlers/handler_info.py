"""INFO: what the server is and what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_info_reply

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_info(server: ServerLHC, message: Message, target: Any) -> None:
    """Tell device, freedom, name, capabilities and lists as they are now."""
    engine = engine_of(server)
    reply = make_info_reply(
        engine.name,
        target,
        device=server.device,
        freedom=server.freedom,
        name=server.name,
        capabilities=server.capabilities,
        name_list=server.name_list,
        plottables_list=server.plottables_list,
    )
    if engine.callback_errors:
        reply["payload"]["callback_errors"] = dict(engine.callback_errors)
    core = engine.core
    streams = {}
    for name in core.stream_names():
        first, last = core.stream_range(name)
        streams[name] = {"first": first, "last": last}
    if streams:
        reply["payload"] |= {"epoch": engine.epoch, "streams": streams}
    engine.socket.send_json(reply)
