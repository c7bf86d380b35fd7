"""The wire format: names, protocol version and one builder per message.

A message is one JSON object in one ZeroMQ frame, with its keys in this order:

    from, to, cmd, payload, version, error_msg, msg

``from`` may be any JSON value and comes back as ``to``. ``error_msg`` is null unless the request
failed; ``msg`` is a sentence for people. Nothing here touches a socket, so programs on either side
can import it.

Builders take the values as they are: they neither copy nor check them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from laplace_server.wire import commands

Message = dict[str, Any]

PROTOCOL_VERSION = "0.2.2"

LOGGER_NAME = "laplace.server"

DEVICE_MOTOR = "MOTOR"
DEVICE_CAMERA = "CAMERA"
DEVICE_GAS = "GAS"
DEVICE_OPT = "OPT"
DEVICE_SHOT = "SHOT"
DEVICE_SCAN = "SCAN"

AVAILABLE_DEVICES = [
    DEVICE_MOTOR,
    DEVICE_CAMERA,
    DEVICE_GAS,
    DEVICE_OPT,
    DEVICE_SHOT,
    DEVICE_SCAN,
]
AVAILABLE_CONTROLS = [DEVICE_GAS, DEVICE_MOTOR]

CMD_INFO = commands.INFO.name
CMD_PING = commands.PING.name
CMD_GET = commands.GET.name
CMD_SET = commands.SET.name
CMD_SAVE = commands.SAVE.name
CMD_STOP = commands.STOP.name
CMD_OPT = commands.OPT.name
CMD_SCAN = commands.SCAN.name
CMD_SET_ACT = commands.SET_ACT.name
CMD_SET_DIAG = commands.SET_DIAG.name
CMD_UPDATE_ACTUATORS_POS = commands.UPDATE_ACTUATORS_POS.name
CMD_TOGGLE_SAVING = commands.TOGGLE_SAVING.name
CMD_GET_ARRAYS = commands.GET_ARRAYS.name
CMD_SUBSCRIBE = commands.SUBSCRIBE.name
CMD_STATS = commands.STATS.name
CMD_HALT = commands.HALT.name


def make_message(
    *,
    cmd: Any,
    sender: Any,
    target: Any,
    payload: Mapping[str, Any] | None = None,
    error_msg: str | None = None,
    msg: str | None = None,
    version: str = PROTOCOL_VERSION,
) -> Message:
    """Return a message with its keys in wire order; an empty or missing payload becomes ``{}``."""
    return {
        "from": sender,
        "to": target,
        "cmd": cmd,
        "payload": payload or {},
        "version": version,
        "error_msg": error_msg,
        "msg": msg,
    }


def make_error(sender: Any, target: Any, *, cmd: Any, error_msg: str) -> Message:
    """Return the reply to a request that failed; ``error_msg`` says why."""
    return make_message(
        cmd=cmd, sender=sender, target=target, error_msg=error_msg, msg="Error encountered."
    )


def command_request(
    command: commands.Command, sender: Any, target: Any, value: Any = None
) -> Message:
    """Ask for a command of the table, with its value if it takes one."""
    payload = None if command.key is None else {command.key: value}
    return make_message(
        cmd=command.name, sender=sender, target=target, payload=payload, msg=command.request_text
    )


def command_reply(
    command: commands.Command,
    sender: Any,
    target: Any,
    payload: Mapping[str, Any] | None = None,
) -> Message:
    """Answer a command of the table."""
    return make_message(
        cmd=command.name, sender=sender, target=target, payload=payload, msg=command.reply_text
    )


def make_info_request(sender: Any, target: Any) -> Message:
    """Ask what the device is and what it can do."""
    return command_request(commands.INFO, sender, target)


def make_info_reply(
    sender: Any,
    target: Any,
    *,
    device: str,
    freedom: int,
    name: str,
    capabilities: Sequence[str],
    name_list: Sequence[str] | None = None,
    plottables_list: Sequence[str] | None = None,
) -> Message:
    """Answer INFO: the kind of device, its degrees of freedom (a count), name and commands.

    ``name_list`` and ``plottables_list`` name its axes or channels; None means an empty list.
    """
    payload = {
        "device": device,
        "freedom": freedom,
        "name": name,
        "capabilities": capabilities,
        "name_list": [] if name_list is None else name_list,
        "plottables_list": [] if plottables_list is None else plottables_list,
    }
    return command_reply(commands.INFO, sender, target, payload)


def make_ping(sender: Any, target: Any) -> Message:
    """Ask whether the server answers at all."""
    return command_request(commands.PING, sender, target)


def make_pong(sender: Any, target: Any) -> Message:
    """Answer PING."""
    return command_reply(commands.PING, sender, target, {"PING": "PONG"})


def make_get_request(sender: Any, target: Any) -> Message:
    """Ask for the device's present data."""
    return command_request(commands.GET, sender, target)


def make_get_reply(sender: Any, target: Any, *, data: Any) -> Message:
    """Answer GET with the device's data."""
    return command_reply(commands.GET, sender, target, {"data": data})


def make_get_arrays_request(sender: Any, target: Any) -> Message:
    """Ask for the device's present data, its arrays as bytes in frames of their own."""
    return command_request(commands.GET_ARRAYS, sender, target)


def make_get_arrays_reply(
    sender: Any, target: Any, *, data: Any, arrays: Sequence[Mapping[str, Any]]
) -> Message:
    """Answer GET ARRAYS: null stands in ``data`` for each array.

    ``arrays`` tells, for each frame that follows, where its array stands (``path``, a list of keys
    and indices), its ``dtype`` (as ``numpy.dtype.str`` writes it) and its ``shape``.
    """
    return command_reply(commands.GET_ARRAYS, sender, target, {"data": data, "arrays": arrays})


def make_set_request(sender: Any, target: Any, *, positions: Any) -> Message:
    """Ask the device to move: one position per axis, in the device's own unit.

    A list in axis order, or a dict from axis index to position such as ``{"0": 1.5}``.
    """
    return command_request(commands.SET, sender, target, positions)


def make_set_reply(sender: Any, target: Any) -> Message:
    """Answer SET."""
    return command_reply(commands.SET, sender, target)


def make_save_request(sender: Any, target: Any, *, path: Any) -> Message:
    """Tell the device where to save from now on."""
    return command_request(commands.SAVE, sender, target, path)


def make_save_reply(sender: Any, target: Any) -> Message:
    """Answer SAVE."""
    return command_reply(commands.SAVE, sender, target)


def make_toggle_saving_status_request(sender: Any, target: Any, *, saving_status: Any) -> Message:
    """Switch saving on (True) or off (False)."""
    return command_request(commands.TOGGLE_SAVING, sender, target, saving_status)


def make_toggle_saving_status_reply(sender: Any, target: Any) -> Message:
    """Answer TOGGLE SAVING."""
    return command_reply(commands.TOGGLE_SAVING, sender, target)


def make_opt_update(sender: Any, target: Any, *, data: Any) -> Message:
    """Send an optimiser's data to the device."""
    return command_request(commands.OPT, sender, target, data)


def make_opt_reply(sender: Any, target: Any) -> Message:
    """Answer OPT."""
    return command_reply(commands.OPT, sender, target)


def make_scan_update(sender: Any, target: Any, *, data: Any) -> Message:
    """Send the state of a scan to the device."""
    return command_request(commands.SCAN, sender, target, data)


def make_scan_reply(sender: Any, target: Any) -> Message:
    """Answer SCAN."""
    return command_reply(commands.SCAN, sender, target)


def make_set_actuators(sender: Any, target: Any, actuators: Any) -> Message:
    """Tell a scanner which actuators it may move."""
    return command_request(commands.SET_ACT, sender, target, actuators)


def make_set_actuators_reply(sender: Any, target: Any) -> Message:
    """Answer SET ACT."""
    return command_reply(commands.SET_ACT, sender, target)


def make_set_diagnostics(sender: Any, target: Any, diagnostics: Any) -> Message:
    """Tell a scanner which diagnostics it may read."""
    return command_request(commands.SET_DIAG, sender, target, diagnostics)


def make_set_diagnostics_reply(sender: Any, target: Any) -> Message:
    """Answer SET DIAG."""
    return command_reply(commands.SET_DIAG, sender, target)


def make_scan_act_position_update(sender: Any, target: Any, data: Any) -> Message:
    """Tell a scanner where its actuators are now; ``data`` goes out under ``actuators``."""
    return command_request(commands.UPDATE_ACTUATORS_POS, sender, target, data)


def make_scan_act_position_reply(sender: Any, target: Any) -> Message:
    """Answer UPDATE ACT POS."""
    return command_reply(commands.UPDATE_ACTUATORS_POS, sender, target)


def make_halt(sender: Any, target: Any) -> Message:
    """Ask the device to stop moving."""
    return command_request(commands.HALT, sender, target)


def make_halt_reply(sender: Any, target: Any) -> Message:
    """Answer HALT."""
    return command_reply(commands.HALT, sender, target)


def make_stop(sender: Any, target: Any) -> Message:
    """Ask the server to end."""
    return command_request(commands.STOP, sender, target)


def make_stop_reply(sender: Any, target: Any) -> Message:
    """Answer STOP; the server ends after it."""
    return command_reply(commands.STOP, sender, target)


def make_subscribe(
    sender: Any,
    target: Any,
    *,
    stream: str,
    subscription: int,
    start: str | int,
    messages: int,
    allowed_bytes: int,
    latest_only: bool = False,
    epoch: int | None = None,
) -> Message:
    """Ask for a stream's updates.

    ``subscription`` is the sender's number for it, ``start`` "latest", "newest", "oldest" or the
    number of the first update wanted, of that ``epoch`` if there is one; ``messages`` and
    ``allowed_bytes`` may be sent before the sender allows more.
    """
    payload = {
        "stream": stream,
        "subscription": subscription,
        "start": start,
        "messages": messages,
        "bytes": allowed_bytes,
        "latest_only": latest_only,
    }
    if epoch is not None:
        payload["epoch"] = epoch
    return make_message(cmd=CMD_SUBSCRIBE, sender=sender, target=target, payload=payload)


def make_subscribe_reply(
    sender: Any,
    target: Any,
    *,
    stream: str,
    epoch: int,
    first: int,
    last: int,
    next_number: int,
    age_s: float,
) -> Message:
    """Answer SUBSCRIBE: the updates there are, ``first`` to ``last``, and the first to be sent.

    ``age_s`` is how long ago the stream was declared, in seconds.
    """
    payload = {
        "stream": stream,
        "epoch": epoch,
        "first": first,
        "last": last,
        "next": next_number,
        "age_s": age_s,
    }
    return command_reply(commands.SUBSCRIBE, sender, target, payload)


def make_stats_request(sender: Any, target: Any) -> Message:
    """Ask what the server has counted, and what it is doing."""
    return command_request(commands.STATS, sender, target)


def make_stats_reply(sender: Any, target: Any, *, stats: Mapping[str, Any]) -> Message:
    """Answer STATS; the payload is ``ServerStats.as_json()`` and who the server is."""
    return command_reply(commands.STATS, sender, target, dict(stats))
