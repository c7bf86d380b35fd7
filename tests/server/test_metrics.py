"""A server's counters as Prometheus metrics."""

from __future__ import annotations

import math
import os
import urllib.request
from collections.abc import Iterable
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.isolated import run_script
from support.peers import PATIENCE_S, Connect
from support.serving import Gate, MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC, __version__
from laplace_server.errors import RemoteError
from laplace_server.metrics import ServerCollector, serve_metrics
from laplace_server.stats import LatencyHistogram, ServerStats

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def collected(*servers: ServerLHC) -> Samples:
    registry = CollectorRegistry()
    registry.register(ServerCollector(*servers))
    return parsed(generate_latest(registry).decode())


def value(samples: Samples, name: str, server: Any = "tested", **labels: str) -> float:
    wanted = {"server": getattr(server, "name", server), **labels}
    return samples[(f"laplace_{name}", frozenset(wanted.items()))]


def test_counters(make_server: MakeServer) -> None:
    server = make_server()
    server.set_on_position_changed(lambda _: 1 / 0)
    server.declare_stream("shots")
    with client_of(server) as client, client.subscribe("shots") as shots:
        server.publish("shots", {"n": 1})
        shots.next()
        client.ping()
        client.set([1])
        with pytest.raises(RemoteError):
            client.request("NONSENSE")
        assert eventually(lambda: server.stats().python_latency.total >= 3)
        samples = collected(server)
    assert value(samples, "answers_total", command="PING", by="native") == 1
    assert value(samples, "answers_total", command="SET", by="python") == 1
    assert value(samples, "errors_total", kind="unknown_command") == 1
    assert value(samples, "refused_connections_total", reason="message_size") == 0
    assert value(samples, "callback_errors_total", callback="on_position_changed") == 1
    assert value(samples, "connections_accepted_total") >= 2
    assert value(samples, "clients") == 1
    assert value(samples, "clients_left_out_requests_total") == 0
    assert value(samples, "received_bytes_total") > 0
    assert value(samples, "sent_bytes_total") > 0
    assert value(samples, "uptime_seconds") > 0
    assert value(samples, "running_seconds") == value(samples, "data_error") == 0
    assert value(samples, "subscribers", stream="shots") == 1
    assert value(samples, "subscriber_lag_updates", stream="shots") == 0
    about = {"device": "MOTOR", "transport": server.transport, "version": __version__}
    assert value(samples, "server_info", **about) == 1
    assert all(name.startswith("laplace_") for name, _ in samples)


def test_every_number_of_the_statistics_is_a_metric(make_server: MakeServer) -> None:
    """What is counted anew has to be named in one of the tables, too."""
    from laplace_server import metrics

    simple = {
        name
        for name, each in vars(make_server(start=False).stats()).items()
        if isinstance(each, (int, float))
    }
    assert {attribute for *_, attribute in (*metrics._GAUGES, *metrics._COUNTERS)} == simple


def test_durations(make_server: MakeServer) -> None:
    server = make_server()
    with client_of(server) as client:
        for _ in range(20):
            client.ping()
        assert eventually(lambda: server.stats().native_latency.total == 20)
    samples = collected(server)
    assert value(samples, "answer_duration_seconds_count", by="native") == 20
    buckets = sorted(
        (float(dict(labels)["le"]), count)
        for (name, labels), count in samples.items()
        if name == "laplace_answer_duration_seconds_bucket" and ("by", "native") in labels
    )
    bounds, counts = zip(*buckets, strict=True)
    assert bounds[0] < 1e-5
    assert bounds[-2] > 100
    assert bounds[-1] == math.inf
    assert [each / bounds[0] for each in bounds[:-1]] == pytest.approx(
        [2.0**octave for octave in range(len(bounds) - 1)]
    )
    assert list(counts) == sorted(counts)
    assert counts[-1] == 20
    total = value(samples, "answer_duration_seconds_sum", by="native")
    assert 0 < total < 20 * server.stats().native_latency.quantile(1.0)


@pytest.mark.parametrize("ns", [5, 1000, 123_456_789])
def test_the_sum_of_durations_is_near(ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from laplace_server import metrics

    octave = 0
    while ns >> octave >= 8:
        octave += 1
    counts = [0] * 144
    counts[4 * octave + (ns >> octave) - 4] = 3
    assert metrics._sum_s(LatencyHistogram(tuple(counts))) == pytest.approx(3e-9 * ns, rel=0.125)


def test_a_callback_that_hangs_and_data_that_cannot_be_sent(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"x": object()})
    gate = Gate()
    server.set_on_position_changed(gate)
    peer = connect(server)
    peer.send("SET", {"positions": [1]})
    gate.wait_begun()
    assert eventually(lambda: value(collected(server), "running_seconds") > 0.01)
    assert value(collected(server), "data_error") == 1
    gate.open()
    peer.receive()


def test_several_servers_and_one_with_names_of_its_own(make_server: MakeServer) -> None:
    class Own(ServerLHC):
        def stats(self) -> Any:
            raise AssertionError("the program's own")

    servers = [make_server(name="a"), make_server(name='b"\n', kind=Own)]
    samples = collected(*servers)
    for each in servers:
        assert value(samples, "connections", each) == 0
    servers[0].stop()
    assert value(collected(*servers), "uptime_seconds", "a") > 0  # told of on


def test_what_is_no_server(make_server: MakeServer) -> None:
    with pytest.raises(ValueError, match="needs a server"):
        ServerCollector()
    with pytest.raises(TypeError, match="are ServerLHC, not str"):
        ServerCollector("stage")  # type: ignore[arg-type]
    twins = [make_server(start=False, name="a") for _ in range(2)]
    with pytest.raises(ValueError, match="servers of one name"):
        ServerCollector(*twins)


def fetched(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        return parsed(answer.read().decode())


@pytest.mark.parametrize("several", [False, True])
def test_an_endpoint(make_server: MakeServer, several: bool) -> None:
    servers: Iterable[ServerLHC] = [make_server(name="a"), make_server(name="b")]
    first = next(iter(servers))
    with serve_metrics(servers if several else first, 0) as endpoint:
        samples = fetched(endpoint.port)
        assert value(samples, "connections", "a") == 0
        assert (("laplace_connections", frozenset({("server", "b")})) in samples) == several
        with pytest.raises(OSError, match=r"in use|permitted|denied"):
            serve_metrics(first, endpoint.port)
    endpoint.close()
    with pytest.raises(OSError):  # noqa: PT011  # refused, in the system's words
        fetched(endpoint.port)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_ends_and_leaves_the_port() -> None:
    printed = run_script("""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from prometheus_client import CollectorRegistry, Gauge, generate_latest
        from laplace_server import ServerLHC
        from laplace_server.metrics import ServerCollector, serve_metrics
        from support.forked import Forked
        from support.raw_peers import listens

        server = ServerLHC("stage", "tcp://127.0.0.1:*", 2, "MOTOR")
        registry = CollectorRegistry()
        registry.register(ServerCollector(server))
        Gauge("own", "The program's", registry=registry)

        def work():
            page = generate_latest(registry).decode()
            assert "own 0.0" in page and "laplace_uptime" not in page

        with server, serve_metrics(server, 0) as endpoint:
            child = os.fork()
            if child == 0:
                sys.exit()  # through the contexts
            assert os.waitpid(child, 0)[1] == 0
            assert listens(endpoint.port)
            with Forked(work):
                endpoint.close()
                assert not listens(endpoint.port)
        print("over")
    """)
    assert printed.splitlines()[-1] == "over"


def test_a_name_that_cannot_be_encoded(make_server: MakeServer) -> None:
    samples = collected(make_server(name="caf\ud8e9"), make_server(name="b"))
    assert value(samples, "connections", "caf\\ud8e9") == 0
    assert value(samples, "connections", "b") == 0


def test_a_registry_has_one_collector(make_server: MakeServer) -> None:
    """Of two, each metric would come twice, which is no page."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(make_server(name="a")))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(ServerCollector(make_server(name="b")))


def test_without_the_extra_the_import_says_what_to_install() -> None:
    printed = run_script("""
        import sys
        sys.modules["prometheus_client"] = None
        try:
            import laplace_server.metrics
        except ImportError as error:
            print(error.name, "|", error)
    """)
    assert printed.startswith("prometheus_client |")
    assert "pip install '.[metrics]'" in printed


def test_it_is_one_snapshot_a_scrape(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[ServerStats] = []
    take = ServerStats.of
    monkeypatch.setattr(ServerStats, "of", lambda each: taken.append(take(each)) or taken[-1])
    collected(make_server(start=False))
    assert len(taken) == 1
