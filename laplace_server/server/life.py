"""A server's life: its threads from the start to the end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server import _core
from laplace_server.server.context import Server
from laplace_server.server.engine import Engine
from laplace_server.server.halting import HALTING
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.server.rights_log import log_denial, log_removed, log_security
from laplace_server.server.transports import log_refusal
from laplace_server.server.worker import serve, serve_builtin
from laplace_server.wire.logs import Log
from laplace_server.wire.stacks import large_stacks

log = Log(LOGGER_NAME)

_STOP_TIMEOUT_S = 1.95
_PAUSE_S = 0.1

# Servers whose loop runs, for the end of the process.
_running_cores: weakref.WeakSet[_core.Core] = weakref.WeakSet()


def run(engine: Engine, server: Server) -> None:
    """Serve until stopped, in the ServerLHC thread."""
    core = engine.core
    engine.thread = threading.get_ident()
    if threading.current_thread() is not threading.main_thread():  # whose name is the process's
        _core.name_this_thread("ls-server")
    refresher = threading.Thread(
        target=_refresh, args=(engine,), name=f"{engine.name} refresher", daemon=True
    )
    try:
        core.set_log_answers(log.is_enabled_for(logging.DEBUG))
        core.start()
    except OSError:
        if not engine.stopped:
            log.exception("[Server %s] Could not start.", engine.name)
        core.request_stop()
        engine.access.end(engine)
        engine.thread = None
        return
    engine.begun_at = time.monotonic()
    _running_cores.add(core)
    try:
        with large_stacks():
            refresher.start()
        log.info("[Server %s] Listening on %s.", engine.name, engine.address)
        log.info("[Server %s] Clients connect to %s.", engine.name, engine.address_for_client)
        log_security(engine.name, engine.address, core.endpoint(), engine.access)
        with engine.access.watched():
            _serve(engine, server)
    finally:
        engine.stopped = True
        engine.access.end(engine)
        core.request_stop()
        while not core.wait_ended(1000):
            log.debug("[Server %s] Waiting for the loop to end.", engine.name)
        if refresher.ident is not None:
            refresher.join()
        engine.halts.end()
        engine.refresher = None
        _log_refusals(engine)
        _log_denials(engine)
        engine.running.set_flag(False)
        _running_cores.discard(core)
        if core.fault():
            log.error("[Server %s] Its socket failed: errno %d.", engine.name, core.fault())
        log.info("[Server %s] Stopped.", engine.name)
        engine.thread = None


def _serve(engine: Engine, server: Server) -> None:
    jobs = engine.core.jobs
    while (job := jobs.next()) is not None:
        try:
            if job is _core.LOG:
                _log_answers(engine)
                _log_refusals(engine)
                _log_denials(engine)
                engine.arrivals.tell(engine)
            else:
                serve(server, engine, *job)
        except BaseException:  # whatever goes wrong with one request, the next is served
            continue
        finally:
            del job  # a large request would be kept until the next one comes


def stop(engine: Engine, join: Callable[[float], None]) -> None:
    """End the server; ``join`` waits that many seconds for the ServerLHC thread."""
    if engine.core.forked:
        log.warning("[Server %s] stop() in a forked child does nothing.", engine.name)
        return
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    engine.request_stop()
    engine.access.end(engine)  # also of a server that was never started
    if engine.in_thread():
        return
    ended = engine.core.wait_ended(int(_STOP_TIMEOUT_S * 1000))
    running = engine.running_code
    if engine.begun and running is None:
        join(max(0.0, deadline - time.monotonic()))
        running = HALTING if engine.halts.busy_since is not None else None
    if not ended:
        log.error("[Server %s] The loop has not ended in time.", engine.name)
    elif running is not None:
        log.warning(
            "[Server %s] Stopped while %s is still running; its thread ends with it.",
            engine.name,
            running,
        )


def _log_answers(engine: Engine) -> None:
    enabled = log.is_enabled_for(logging.DEBUG)
    engine.core.set_log_answers(enabled)
    for command, sender in engine.core.jobs.take_log():
        if enabled:
            cmd = engine.command_names[command]
            who = sender.decode("utf-8", "replace")
            log.debug("[Server %s] Answered %r from %s.", engine.name, cmd, who)


def _log_refusals(engine: Engine) -> None:
    for reason, address, more, key in engine.core.jobs.take_refusals():
        log_refusal(engine.name, engine.limits, reason, address, more, key)


def _log_denials(engine: Engine) -> None:
    for role, command, address, more, key in engine.core.jobs.take_denials():
        cmd = engine.command_names[command]
        caller = engine.caller(key)
        if engine.access.role_now(role, key) is None:
            log_removed(engine.name, caller, cmd, address, more)
        else:
            log_denial(engine.name, engine.role_name(role), caller, cmd, address, more)


def _refresh(engine: Engine) -> None:
    """Refresh live documents, and answer what waits for no callback, when the loop asks.

    In a thread of its own, so that a callback that takes its time holds up neither.
    """
    _core.name_this_thread("ls-refresher")
    documents, jobs = engine.core.documents, engine.core.jobs
    engine.refresher = threading.get_ident()
    socket, halt_socket = ReplySocket(engine), ReplySocket(engine)

    def pass_halt(job: tuple[Any, ...]) -> None:
        engine.halts.take(functools.partial(_answer_halt, engine, halt_socket, job))

    while (task := documents.wait_refresh()) is not None:
        if task == _core.JOBS:
            if (job := jobs.next_builtin()) is not None:
                with contextlib.suppress(BaseException):
                    serve_builtin(engine, socket, *job, pass_halt=pass_halt)
            continue
        try:
            documents.refresh(task)
        except Exception:  # no memory, most likely; somebody still waits for it
            text = "[Server %s] The data could not be refreshed, which is tried again."
            log.exception(text, engine.name)
            time.sleep(_PAUSE_S)


def _answer_halt(engine: Engine, socket: ReplySocket, job: tuple[Any, ...]) -> None:
    with contextlib.suppress(BaseException):
        serve_builtin(engine, socket, *job)


@atexit.register
def _end_with_the_process() -> None:
    """Daemon servers outlive the main thread; their native threads must not outlive Python."""
    cores = [core for core in list(_running_cores) if not core.forked]
    for core in cores:
        core.request_stop()
    for core in cores:
        core.wait_ended(int(_STOP_TIMEOUT_S * 1000))
