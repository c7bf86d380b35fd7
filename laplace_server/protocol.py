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

CMD_INFO = "INFO"
CMD_PING = "PING"
CMD_GET = "GET"
CMD_SET = "SET"
CMD_SAVE = "SAVE"
CMD_STOP = "STOP"
CMD_OPT = "OPT"
CMD_SCAN = "SCAN"
CMD_SET_ACT = "SET ACT"
CMD_SET_DIAG = "SET DIAG"
CMD_UPDATE_ACTUATORS_POS = "UPDATE ACT POS"
CMD_TOGGLE_SAVING = "TOGGLE SAVING"
CMD_GET_ARRAYS = "GET ARRAYS"
CMD_SUBSCRIBE = "SUBSCRIBE"


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


def make_info_request(sender: Any, target: Any) -> Message:
    """Ask what the device is and what it can do."""
    return make_message(cmd=CMD_INFO, sender=sender, target=target, msg="Informations required.")


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
    return make_message(
        cmd=CMD_INFO,
        sender=sender,
        target=target,
        payload=payload,
        msg="Informations transmitted.",
    )


def make_ping(sender: Any, target: Any) -> Message:
    """Ask whether the server answers at all."""
    return make_message(
        cmd=CMD_PING, sender=sender, target=target, payload={"PING": None}, msg="Alive?"
    )


def make_pong(sender: Any, target: Any) -> Message:
    """Answer PING."""
    return make_message(
        cmd=CMD_PING, sender=sender, target=target, payload={"PING": "PONG"}, msg="Still alive."
    )


def make_get_request(sender: Any, target: Any) -> Message:
    """Ask for the device's present data."""
    return make_message(cmd=CMD_GET, sender=sender, target=target, msg="Get values.")


def make_get_reply(sender: Any, target: Any, *, data: Any) -> Message:
    """Answer GET with the device's data."""
    return make_message(
        cmd=CMD_GET, sender=sender, target=target, payload={"data": data}, msg="Data sent."
    )


def make_get_arrays_request(sender: Any, target: Any) -> Message:
    """Ask for the device's present data, its arrays as bytes in frames of their own."""
    return make_message(cmd=CMD_GET_ARRAYS, sender=sender, target=target, msg="Get values.")


def make_get_arrays_reply(
    sender: Any, target: Any, *, data: Any, arrays: Sequence[Mapping[str, Any]]
) -> Message:
    """Answer GET ARRAYS: null stands in ``data`` for each array.

    ``arrays`` tells, for each frame that follows, where its array stands (``path``, a list of keys
    and indices), its ``dtype`` (as ``numpy.dtype.str`` writes it) and its ``shape``.
    """
    return make_message(
        cmd=CMD_GET_ARRAYS,
        sender=sender,
        target=target,
        payload={"data": data, "arrays": arrays},
        msg="Data sent.",
    )


def make_set_request(sender: Any, target: Any, *, positions: Any) -> Message:
    """Ask the device to move: one position per axis, in the device's own unit.

    A list in axis order, or a dict from axis index to position such as ``{"0": 1.5}``.
    """
    return make_message(
        cmd=CMD_SET,
        sender=sender,
        target=target,
        payload={"positions": positions},
        msg="Set request.",
    )


def make_set_reply(sender: Any, target: Any) -> Message:
    """Answer SET."""
    return make_message(cmd=CMD_SET, sender=sender, target=target, msg="Positions updated.")


def make_save_request(sender: Any, target: Any, *, path: Any) -> Message:
    """Tell the device where to save from now on."""
    return make_message(
        cmd=CMD_SAVE,
        sender=sender,
        target=target,
        payload={"path": path},
        msg="Save path request.",
    )


def make_save_reply(sender: Any, target: Any) -> Message:
    """Answer SAVE."""
    return make_message(cmd=CMD_SAVE, sender=sender, target=target, msg="Saving path changed.")


def make_toggle_saving_status_request(sender: Any, target: Any, *, saving_status: Any) -> Message:
    """Switch saving on (True) or off (False)."""
    return make_message(
        cmd=CMD_TOGGLE_SAVING,
        sender=sender,
        target=target,
        # The key has a space on the wire.
        payload={"saving status": saving_status},
        msg="Toggle saving status request.",
    )


def make_toggle_saving_status_reply(sender: Any, target: Any) -> Message:
    """Answer TOGGLE SAVING."""
    return make_message(
        cmd=CMD_TOGGLE_SAVING, sender=sender, target=target, msg="Saving status toggled."
    )


def make_opt_update(sender: Any, target: Any, *, data: Any) -> Message:
    """Send an optimiser's data to the device."""
    return make_message(
        cmd=CMD_OPT, sender=sender, target=target, payload={"data": data}, msg="Opt informations."
    )


def make_opt_reply(sender: Any, target: Any) -> Message:
    """Answer OPT."""
    return make_message(cmd=CMD_OPT, sender=sender, target=target, msg="Updating opt.")


def make_scan_update(sender: Any, target: Any, *, data: Any) -> Message:
    """Send the state of a scan to the device."""
    return make_message(
        cmd=CMD_SCAN, sender=sender, target=target, payload={"data": data}, msg="Scan informations."
    )


def make_scan_reply(sender: Any, target: Any) -> Message:
    """Answer SCAN."""
    return make_message(cmd=CMD_SCAN, sender=sender, target=target, msg="Updating scan")


def make_set_actuators(sender: Any, target: Any, actuators: Any) -> Message:
    """Tell a scanner which actuators it may move."""
    return make_message(
        cmd=CMD_SET_ACT,
        sender=sender,
        target=target,
        payload={"actuators": actuators},
        msg="Setting actuators",
    )


def make_set_actuators_reply(sender: Any, target: Any) -> Message:
    """Answer SET ACT."""
    return make_message(
        cmd=CMD_SET_ACT, sender=sender, target=target, msg="Actuators set on scanners"
    )


def make_set_diagnostics(sender: Any, target: Any, diagnostics: Any) -> Message:
    """Tell a scanner which diagnostics it may read."""
    return make_message(
        cmd=CMD_SET_DIAG,
        sender=sender,
        target=target,
        payload={"diagnostics": diagnostics},
        # The same words as for actuators: the text is part of the wire form.
        msg="Setting actuators",
    )


def make_set_diagnostics_reply(sender: Any, target: Any) -> Message:
    """Answer SET DIAG."""
    return make_message(
        cmd=CMD_SET_DIAG, sender=sender, target=target, msg="Diagnostics set on scanners"
    )


def make_scan_act_position_update(sender: Any, target: Any, data: Any) -> Message:
    """Tell a scanner where its actuators are now; ``data`` goes out under ``actuators``."""
    return make_message(
        cmd=CMD_UPDATE_ACTUATORS_POS,
        sender=sender,
        target=target,
        payload={"actuators": data},
        msg="Updating current actuators positions",
    )


def make_scan_act_position_reply(sender: Any, target: Any) -> Message:
    """Answer UPDATE ACT POS."""
    return make_message(
        cmd=CMD_UPDATE_ACTUATORS_POS,
        sender=sender,
        target=target,
        msg="Current actuators positions set on scanners",
    )


def make_stop(sender: Any, target: Any) -> Message:
    """Ask the server to end."""
    return make_message(cmd=CMD_STOP, sender=sender, target=target, msg="Shutdown request.")


def make_stop_reply(sender: Any, target: Any) -> Message:
    """Answer STOP; the server ends after it."""
    return make_message(cmd=CMD_STOP, sender=sender, target=target, msg="Server stopping.")


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
) -> Message:
    """Ask for a stream's updates.

    ``subscription`` is the sender's number for it, ``start`` "latest", "oldest" or the number of
    the first update wanted; ``messages`` and ``allowed_bytes`` may be sent before the sender allows
    more.
    """
    payload = {
        "stream": stream,
        "subscription": subscription,
        "start": start,
        "messages": messages,
        "bytes": allowed_bytes,
        "latest_only": latest_only,
    }
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
) -> Message:
    """Answer SUBSCRIBE: the updates there are, ``first`` to ``last``, and the first to be sent."""
    payload = {"stream": stream, "epoch": epoch, "first": first, "last": last, "next": next_number}
    return make_message(
        cmd=CMD_SUBSCRIBE, sender=sender, target=target, payload=payload, msg="Subscribed."
    )
