"""What servers count, as Prometheus metrics; it needs the extra ``metrics`` (prometheus-client).

    server = ServerLHC("camera", "tcp://*:5555", 0, "CAMERA")
    with server, serve_metrics(server, 9100):
        acquire()

Names begin with ``laplace_``; each metric has the label ``server``, the server's name:
docs/monitoring.md.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from laplace_server.errors import ForkedServerError
from laplace_server.server.engine import Engine, engine_of
from laplace_server.server_lhc import ServerLHC
from laplace_server.stats import LatencyHistogram, ServerStats, SubscriberStats, upper_bound
from laplace_server.wire.extras import how_to_install
from laplace_server.wire.version import package_version

try:
    import prometheus_client
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
        Metric,
        Sample,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "laplace_server.metrics needs prometheus-client, which cannot be imported "
        f"({error}). {how_to_install('metrics')}",
        name="prometheus_client",
    ) from error

__all__ = ["MetricsEndpoint", "ServerCollector", "serve_metrics"]

# Of the counters' buckets every fourth is a bucket here, from 1 us to 137 s.
_BUCKETS = range(4 * 8 + 3, 4 * 35, 4)

# Name, what it is, the field of ServerStats.
_GAUGES = (
    ("uptime_seconds", "Since the server was started", "uptime_s"),
    ("connections", "Connections that there are", "connections"),
    ("queue_requests", "Requests that wait", "queue_depth"),
    ("queue_bytes", "Bytes of requests that wait", "queue_bytes"),
    ("queue_peak_requests", "Most requests that have waited at once", "queue_high_water"),
    ("parked_bytes", "Replies that wait for peers", "parked_bytes"),
    ("waiting_bytes", "On their way to connections that take no more", "waiting_bytes"),
)
_COUNTERS = (
    ("received_bytes", "Bytes of messages received", "bytes_in"),
    ("sent_bytes", "Bytes of replies sent", "bytes_out"),
    ("connections_accepted", "Connections accepted", "connections_total"),
    ("stale_reads", "Reads of live data answered from an older snapshot", "stale_gets"),
    ("refreshes", "New texts made of live data", "refreshes"),
    ("clients_left_out_requests", "Requests of who is not told apart", "clients_left_out"),
)


class ServerCollector(Collector):
    """Makes metrics of servers' counters whenever somebody asks for them.

    Register one for all servers of a process: ``REGISTRY.register(ServerCollector(*servers))``; a
    registry takes no second one, since a metric must not come twice, and raises ValueError.
    Servers that have been stopped are told of on, as long as they are here. Their names should
    differ; two of one name cannot be told apart. In a forked child there are no metrics: servers
    are the parent's.

    Raises:
        TypeError: a server is none.
        ValueError: there is no server, or two have one name.
    """

    def __init__(self, *servers: ServerLHC) -> None:
        if not servers:
            raise ValueError("a collector needs a server, or several")
        for each in servers:
            if not isinstance(each, ServerLHC):
                raise TypeError(f"a collector's servers are ServerLHC, not {type(each).__name__}")
        names = [engine_of(each).name for each in servers]
        if len(set(names)) < len(names):
            raise ValueError(f"servers of one name make the same metrics: {', '.join(names)}")
        self._servers = servers

    def describe(self) -> Iterable[Metric]:
        """Yield the metrics without values, by which a registry knows their names."""
        return _metrics([], [])

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all servers as they are now."""
        # Through the class and the engine: a derived class may have a ``stats`` of its own.
        engines = [engine_of(each) for each in self._servers]
        try:
            found = [(each.name, ServerStats.of(each)) for each in engines]
        except ForkedServerError:  # the program's own metrics go on
            return
        for metric in _metrics(engines, found):
            metric.samples = [_encodable(sample) for sample in metric.samples]
            yield metric


_Found = list[tuple[str, ServerStats]]


def _metrics(engines: list[Engine], found: _Found) -> Iterator[Metric]:
    about = InfoMetricFamily("laplace_server", "What the server is", labels=["server"])
    for each in engines:
        told = {"device": str(each.device), "transport": each.transport}
        about.add_metric([each.name], {**told, "version": package_version()})
    yield about
    for name, text, attribute in _GAUGES:
        gauge = _gauge(name, text)
        for server, stats in found:
            gauge.add_metric([server], getattr(stats, attribute))
        yield gauge
    for name, text, attribute in _COUNTERS:
        counter = _counter(name, text)
        for server, stats in found:
            counter.add_metric([server], getattr(stats, attribute))
        yield counter
    yield from _by_kind(found)
    yield from _state(found)
    yield _durations(found)
    yield from _subscribers(found)


def _encodable(sample: Sample) -> Sample:
    """The sample, with lone surrogates in its labels shown: one would cost the whole page."""
    labels = {
        key: value.encode("utf-8", "backslashreplace").decode()
        for key, value in sample.labels.items()
    }
    return sample._replace(labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"laplace_{name}", text, labels=["server", *labels])


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"laplace_{name}", text, labels=["server", *labels])


def _by_kind(found: _Found) -> Iterator[Metric]:
    answers = _counter("answers", "Answers sent", "command", "by")
    errors = _counter("errors", "Requests with an error or no answer", "kind")
    refused = _counter("refused_connections", "Connections refused or closed", "reason")
    raised = _counter("callback_errors", "Exceptions of callbacks", "callback")
    denied = _counter("not_permitted", "Requests that roles do not permit", "role", "command")
    for server, stats in found:
        for command, counts in stats.commands.items():
            answers.add_metric([server, str(command), "native"], counts.native)
            answers.add_metric([server, str(command), "python"], counts.python)
        for kind, count in stats.errors.items():
            errors.add_metric([server, kind.name.lower()], count)
        for reason, count in stats.refused.items():
            refused.add_metric([server, reason.name.lower()], count)
        for callback, count in stats.callback_errors.items():
            raised.add_metric([server, callback], count)
        for role, commands in stats.not_permitted.items():
            for command, count in commands.items():
                denied.add_metric([server, role, command], count)
    yield from (answers, errors, refused, raised, denied)


def _state(found: _Found) -> Iterator[Metric]:
    running = _gauge("running_seconds", "How long the present request has run in Python; 0: none")
    wrong = _gauge("data_error", "1 while the data cannot be sent")
    clients = _gauge("clients", "Programs that are there")
    for server, stats in found:
        running.add_metric([server], 0.0 if stats.running is None else stats.running.seconds)
        wrong.add_metric([server], float(stats.data_error is not None))
        clients.add_metric([server], len(stats.clients))
    yield from (running, wrong, clients)


def _durations(found: _Found) -> Metric:
    text = "From a request's receipt to its reply's hand-over; the sum is known to within 12.5 %"
    family = HistogramMetricFamily("laplace_answer_duration_seconds", text, labels=["server", "by"])
    for server, stats in found:
        for by, latency in (("native", stats.native_latency), ("python", stats.python_latency)):
            family.add_metric([server, by], _buckets(latency), _sum_s(latency))
    return family


def _buckets(latency: LatencyHistogram) -> list[tuple[str, float]]:
    bounds = [
        (repr(upper_bound(bucket)), float(sum(latency.counts[: bucket + 1]))) for bucket in _BUCKETS
    ]
    return [*bounds, ("+Inf", float(latency.total))]


def _sum_s(latency: LatencyHistogram) -> float:
    """The sum of all durations, each taken for the middle of its bucket."""
    return sum(count * _middle(bucket) for bucket, count in enumerate(latency.counts))


def _middle(bucket: int) -> float:
    quarter = bucket % 4
    return upper_bound(bucket) * (4.5 + quarter) / (5 + quarter)


def _subscribers(found: _Found) -> Iterator[Metric]:
    # By stream, not by subscriber: what these call themselves is theirs to choose.
    count = _gauge("subscribers", "Subscribers of a stream", "stream")
    lag = _gauge("subscriber_lag_updates", "Updates that the slowest has not been sent", "stream")
    lost = _gauge("subscriber_lost_updates", "Updates lost by the present ones", "stream")
    for server, stats in found:
        streams: dict[str, list[SubscriberStats]] = {}
        for each in stats.subscribers:
            streams.setdefault(each.stream, []).append(each)
        for stream, there in streams.items():
            count.add_metric([server, stream], len(there))
            lag.add_metric([server, stream], max(each.lag for each in there))
            lost.add_metric([server, stream], sum(each.lost for each in there))
    yield from (count, lag, lost)


class MetricsEndpoint:
    """Where Prometheus gets the metrics; made by ``serve_metrics``, a context manager."""

    def __init__(self, http: Any, thread: threading.Thread) -> None:
        self._http = http
        self._thread = thread
        self._forked = False
        _endpoints.add(self)

    @property
    def port(self) -> int:
        """The port listened on, with the real one where 0 was given."""
        return int(self._http.server_port)

    def close(self) -> None:
        """End it; also twice. In a forked child it has ended, and is the parent's."""
        if self._forked:
            return
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _let_go(self) -> None:
        """In a forked child, which has no thread that would answer: the port is the parent's."""
        self._forked = True
        self._http.socket.close()

    def __enter__(self) -> MetricsEndpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_endpoints: weakref.WeakSet[MetricsEndpoint] = weakref.WeakSet()


def _let_go() -> None:
    for endpoint in list(_endpoints):
        endpoint._let_go()
    _endpoints.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def serve_metrics(
    server: ServerLHC | Iterable[ServerLHC], port: int, address: str = "127.0.0.1"
) -> MetricsEndpoint:
    """Serve the metrics of a server, or of several, by HTTP in a thread of its own.

    Anybody who reaches the port may read them, in the clear; so it is this machine's alone unless
    ``address`` says otherwise (``"0.0.0.0"``: all networks). Port 0 takes any free one. For
    further metrics, or TLS, register a ``ServerCollector`` with a registry of the program's.

    Raises:
        TypeError, ValueError: as for ``ServerCollector``.
        OSError: the port is taken.
    """
    servers = [server] if isinstance(server, ServerLHC) else list(server)
    registry = prometheus_client.CollectorRegistry()
    registry.register(ServerCollector(*servers))
    http, thread = prometheus_client.start_http_server(port, address, registry)
    return MetricsEndpoint(http, thread)
