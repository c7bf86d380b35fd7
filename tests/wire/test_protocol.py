"""The wire format's texts and builders, and the checks."""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.original import require_original
from support.paths import TESTS

from laplace_server import protocol
from laplace_server.validations import (
    validate_address,
    validate_device,
    validate_freedom,
    validate_message,
    validate_payload,
)

SCRIPT = TESTS / "differential" / "protocol_process.py"
FULL = {"version": "0.2.2", "cmd": "GET", "from": "me", "payload": {}}
BUILDERS = {name: f for name, f in vars(protocol).items() if name.startswith("make_")}

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


def looked_at(folder: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), folder], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert isinstance(seen, dict)
    return seen


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    folder = require_original()
    seen = looked_at(str(folder))
    assert folder in Path(seen["file"]).parents
    return seen


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return looked_at("")


class TestAgainstTheOriginal:
    def test_constants(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        assert len(theirs["constants"]) > 20
        assert theirs["constants"].items() <= ours["constants"].items()

    def test_signatures(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        expected = theirs["signatures"]
        assert len(expected) > 30
        # One list for all calls is what we do not copy.
        for parameter in expected["make_info_reply"][-2:]:
            assert parameter[2] == "[]"
            parameter[2] = "None"
        # Our one addition.
        expected["validate_message"].append(["accepted_versions", "KEYWORD_ONLY", "None"])
        assert {name: ours["signatures"].get(name) for name in expected} == expected

    @pytest.mark.parametrize("what", ["builders", "validations"])
    def test_results_and_logs(
        self, theirs: dict[str, Any], ours: dict[str, Any], what: str
    ) -> None:
        assert len(theirs[what]) > 1000
        pairs = zip(theirs[what], ours[what], strict=True)
        assert [pair for pair in pairs if pair[0] != pair[1]] == []

    def test_address_for_clients(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        # Without a route to other networks the original says what it finds in a table of names.
        if not ip_address(theirs["ip"]).is_loopback:
            assert ours["ip"] == theirs["ip"]


class TestBuilders:
    @pytest.mark.parametrize("name", BUILDERS)
    def test_keys_are_in_wire_order_and_nothing_is_shared(self, name: str) -> None:
        function = BUILDERS[name]
        parameters = inspect.signature(function).parameters.values()
        arguments: dict[str, Any] = {
            p.name: {"uptime_s": 1.5} if p.name == "stats" else "value"
            for p in parameters
            if p.default is p.empty
        }
        message = function(**arguments)
        assert list(message) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
        assert message["version"] == protocol.PROTOCOL_VERSION
        for value in message["payload"].values():
            if isinstance(value, list):
                value.append("mine")
        message["payload"]["mine"] = 1
        again = function(**arguments)
        assert "mine" not in again["payload"]
        assert ["mine"] not in again["payload"].values()

    def test_no_default_is_mutable(self) -> None:
        for function in BUILDERS.values():
            for parameter in inspect.signature(function).parameters.values():
                assert isinstance(parameter.default, str | bool | type | None)

    def test_values_go_out_as_they_are(self) -> None:
        data = {"x": [1]}
        assert protocol.make_get_reply("s", "t", data=data)["payload"]["data"] is data
        payload = {"a": 1}
        message = protocol.make_message(cmd="C", sender="s", target="t", payload=payload)
        assert message["payload"] is payload

    def test_toggle_saving_has_a_space_in_its_key(self) -> None:
        message = protocol.make_toggle_saving_status_request("s", "t", saving_status=False)
        assert message["payload"] == {"saving status": False}

    def test_an_error(self) -> None:
        assert protocol.make_error("s", ["t"], cmd=None, error_msg="why") == {
            "from": "s",
            "to": ["t"],
            "cmd": None,
            "payload": {},
            "version": "0.2.2",
            "error_msg": "why",
            "msg": "Error encountered.",
        }


class TestMessages:
    @pytest.mark.parametrize("falsy", [None, "", 0, -0.0, [], {}, False])
    @pytest.mark.parametrize("field", ["version", "cmd", "from"])
    def test_a_falsy_field_is_a_missing_one(self, field: str, falsy: object) -> None:
        text = f"'message' must contain '{field}' field."
        assert validate_message({**FULL, field: falsy}) == text
        assert validate_message({k: v for k, v in FULL.items() if k != field}) == text

    def test_the_order_of_the_checks(self) -> None:
        message: dict[str, Any] = {}
        for field, value in (("version", "0.1"), ("cmd", "GET"), ("from", 1)):
            assert validate_message(message) == f"'message' must contain '{field}' field."
            message[field] = value
        expected = "Protocol version mismatch: expected 0.2.2, got 0.1."
        assert validate_message(message) == expected
        message["version"] = "0.2.2"
        expected = "'message' must contain a 'payload' dictionary, even if empty."
        assert validate_message(message) == expected
        message["payload"] = None
        assert validate_message(message) is None

    def test_several_versions(self) -> None:
        both = ["0.2.2", "0.1.6"]
        for version in both:
            assert validate_message({**FULL, "version": version}, accepted_versions=both) is None
        other = {**FULL, "version": "0.2.1"}
        expected = "Protocol version mismatch: expected 0.2.2 or 0.1.6, got 0.2.1."
        assert validate_message(other, accepted_versions=both) == expected
        expected = "Protocol version mismatch: expected 0.1.6 or 0.2.2, got 0.2.1."
        assert validate_message(other, accepted_versions=frozenset(both)) == expected
        assert validate_message(other, accepted_versions={"0.2.1"}) is None

    def test_one_version_as_text_is_not_its_letters(self) -> None:
        expected = "Protocol version mismatch: expected 0.2.2, got 0."
        message = {**FULL, "version": "0"}
        assert validate_message(message, accepted_versions="0.2.2") == expected

    def test_versions_that_python_refuses_to_write(self) -> None:
        expected = "Protocol version mismatch: expected 0.2.2, got int."
        assert validate_message({**FULL, "version": 10**5000}) == expected
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        expected = "Protocol version mismatch: expected 0.2.2, got list."
        assert validate_message({**FULL, "version": deep}) == expected

    @given(message=JSON, field=st.sampled_from([*FULL]), value=JSON)
    def test_nothing_a_client_sends_raises(self, message: Any, field: str, value: Any) -> None:
        for checked in (message, {**FULL, field: value}):
            for versions in (None, ["0.2.2", "0.2.1"], {"0.2.1"}):
                error = validate_message(checked, accepted_versions=versions)
                assert error is None or error.endswith(".")
            payload = checked.get("payload") if isinstance(checked, dict) else None
            complete = isinstance(payload, dict) and "a" in payload
            assert (validate_payload(checked, ["a"]) is None) == complete

    def test_missing_keys_are_listed_in_the_order_asked(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = "Payload missing keys: ['c', 'a']."
        assert validate_payload({"payload": {"b": None}}, ["c", "b", "a"]) == expected
        assert validate_payload({"payload": []}, ["a"]) == "'payload' must be a dict."
        assert validate_payload("text", ["a"]) == "'payload' must be a dict."
        assert validate_payload({"payload": {"a": None}}, ["a"]) is None
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
        assert {record.name for record in caplog.records} == {"laplace.server"}


class TestConstructorChecks:
    @pytest.mark.parametrize(
        ("check", "value", "error", "text"),
        [
            (validate_address, 5, TypeError, "'address' must be str, not int."),
            (validate_address, "udp://x", ValueError, "Address must start with 'tcp://', got"),
            (validate_freedom, 1.0, TypeError, "'freedom' must be int, not float."),
            (validate_freedom, -1, ValueError, "'freedom' must be positive (>=0), not -1."),
            (validate_device, "X", ValueError, "Invalid device: 'X'. Choose among ['MOTOR', "),
            (validate_device, ["MOTOR"], ValueError, "Invalid device: '['MOTOR']'. Choose among"),
        ],
    )
    def test_what_is_wrong_raises_and_is_logged(
        self,
        caplog: pytest.LogCaptureFixture,
        check: Callable[[Any], None],
        value: object,
        error: type[Exception],
        text: str,
    ) -> None:
        with pytest.raises(error) as raised:
            check(value)
        assert str(raised.value).startswith(text)
        assert caplog.record_tuples == [("laplace.server", logging.ERROR, str(raised.value))]

    def test_what_is_right_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(1)
        for address in ("tcp://*:5555", "tcp://127.0.0.1:*", "tcp://*:0089"):
            validate_address(address)
        for freedom in (0, 1, True):
            validate_freedom(freedom)
        for device in protocol.AVAILABLE_DEVICES:
            validate_device(device)
        assert caplog.records == []
