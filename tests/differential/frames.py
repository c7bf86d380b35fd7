"""Requests as raw bytes, each with a name: those that the original answers and those it dies of.

Values are written as JSON text, since the point is often how a value is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

PAYLOAD_KEY = {
    "SET": "positions",
    "SAVE": "path",
    "OPT": "data",
    "SCAN": "data",
    "SET ACT": "actuators",
    "SET DIAG": "diagnostics",
    "UPDATE ACT POS": "actuators",
    "TOGGLE SAVING": "saving status",
}
# STOP ends the server and has a test of its own.
COMMANDS = ["INFO", "PING", "GET", *PAYLOAD_KEY]

FALSY = ['""', "0", "-0", "0.0", "-0.0", "1e-400", "-1e-400", "null", "[]", "{}", "false"]

VALUES = [
    *FALSY,
    "true",
    "1",
    "-7",
    "1.0",
    "1E5",
    "1e+2",
    "0.1",
    "123456789.123456789",
    "0.30000000000000004",
    "5e-324",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "9" * 4300,
    "-" + "9" * 4300,
    "9" * 5000 + ".5",
    "0." + "3" * 5000,
    '"text"',
    '"0.2.2"',
    '"PING"',
    '" "',
    '"\\u0000"',
    '"a\\u0000b"',
    '"é€😀"',
    '"\\u00e9\\u20AC\\ud83d\\uDE00"',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\ud83d\\ud83d\\ude00"',
    '"\\ud800\\u0041"',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"\x7f\u2028\u2029\ufeff\uffff"',
    '"\U0010ffff"',
    "[0]",
    '["a",null,[]]',
    "[[[[]]]]",
    "[NaN,{},-0.0]",
    '{"a":0}',
    '{"":{"":""}}',
    '{"0":2.5}',
    '{"b":1,"a":2,"b":3}',
    '{"a":1,"\\u0061":2}',
    '{"é":"\\ud800","\\ud800":[1e400]}',
    "[" * 200 + "]" * 200,
    '{"a":' * 200 + "1" + "}" * 200,
]

# The original cannot look these up: a list or a dict is no key.
UNHASHABLE = [value for value in VALUES if value[0] in "[{" and value not in FALSY]


def envelope(without: str = "", **texts: str) -> bytes:
    """Return a request whose fields are given as JSON text; `from` is written `from_`."""
    fields = {
        "from": '"me"',
        "to": '"you"',
        "cmd": '"PING"',
        "payload": "{}",
        "version": '"0.2.2"',
        "error_msg": "null",
        "msg": "null",
    }
    fields.update({name.rstrip("_"): text for name, text in texts.items()})
    fields = {name: text for name, text in fields.items() if name not in without.split()}
    body = ", ".join(f'"{name}": {text}' for name, text in fields.items())
    return f"{{{body}}}".encode()


def _plain(cmd: str = "PING") -> bytes:
    """Return a request in one line without spaces, to be bent."""
    return b'{"from":"me","cmd":"%s","payload":{"path":"/p"},"version":"0.2.2"}' % cmd.encode()


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}...({len(text)})"


def answered() -> Iterator[tuple[str, bytes]]:
    """Yield (name, frame) of what the original answers, with a reply or an error reply."""
    yield from _commands()
    yield from _fields()
    yield from _writing()
    yield from _large()


def _commands() -> Iterator[tuple[str, bytes]]:
    for cmd in COMMANDS:
        text = json.dumps(cmd)
        for value in VALUES:
            yield f"{cmd} payload {_short(value)}", envelope(cmd=text, payload=value)
        for field in ("from", "version", "payload", "to", "error_msg", "msg", "to error_msg msg"):
            yield f"{cmd} without {field}", envelope(field, cmd=text)
        yield f"{cmd} other version", envelope(cmd=text, version='"0.2.1"')
        yield f"{cmd} in lower case", envelope(cmd=json.dumps(cmd.lower()))
        key = PAYLOAD_KEY.get(cmd)
        if key is None:
            continue
        for value in VALUES:
            payload = f'{{"{key}": {value}}}'
            yield f"{cmd} {key} {_short(value)}", envelope(cmd=text, payload=payload)
        for payload in (
            f'{{"other": 1, "{key}": [1], "more": {{}}}}',
            f'{{"{key}": 1, "{key}": 2}}',
            f'{{"{key.upper()}": 1}}',
            f'{{"{key} ": 1}}',
            f'{{"\\u{ord(key[0]):04x}{key[1:]}": "escaped key"}}',
            f'[{{"{key}": 1}}]',
            f'["{key}"]',
            f'"{key}"',
        ):
            yield f"{cmd} payload {payload}", envelope(cmd=text, payload=payload)


def _fields() -> Iterator[tuple[str, bytes]]:
    for value in VALUES:
        yield f"from {_short(value)}", envelope(from_=value)
        yield (
            f"from {_short(value)} for Python",
            envelope(from_=value, cmd='"SAVE"', payload='{"path": 1}'),
        )
        yield f"from {_short(value)} of an error", envelope(from_=value, cmd='"NOPE"')
        yield f"version {_short(value)}", envelope(version=value)
        yield (
            f"to, error_msg and msg {_short(value)}",
            envelope(to=value, error_msg=value, msg=value, cmd='"SCAN"'),
        )
        yield f"an extra field {_short(value)}", envelope(extra=value, cmd='"SCAN"')
        yield f"a root of {_short(value)}", value.encode()
        if value not in UNHASHABLE:
            yield f"cmd {_short(value)}", envelope(cmd=value)
        # Faults are reported in a fixed order, whatever else is wrong.
        yield f"cmd {_short(value)} and another version", envelope(cmd=value, version='"0.1.6"')
        yield f"cmd {_short(value)} without payload", envelope("payload", cmd=value)
    for value in FALSY:
        yield f"everything {value}", envelope(from_=value, cmd=value, version=value, payload=value)
        yield f"from and cmd {value}", envelope(from_=value, cmd=value)
        yield f"from and version {value}", envelope(from_=value, version=value)
        yield f"from {value} and another version", envelope(from_=value, version='"x"')
        yield f"no cmd, from {value}", envelope("cmd", from_=value)
        yield f"no from, cmd {value}", envelope("from", cmd=value)
        yield f"no version, cmd {value}", envelope("version", cmd=value)
    names = ["from", "cmd", "payload", "version"]
    for first in names:
        yield f"only {first} missing", envelope(first)
        for second in names:
            yield f"{first} and {second} missing", envelope(f"{first} {second}")
        others = " ".join(name for name in names if name != first)
        yield f"only {first} there", envelope(others)
    yield "nothing but what is not read", envelope(" ".join(names))


def _writing() -> Iterator[tuple[str, bytes]]:
    ping, save = _plain(), _plain("SAVE")
    yield "no spaces", ping
    yield "whitespace around", b" \t\r\n" + ping + b" \n\r\t "
    yield "whitespace inside", ping.replace(b":", b" \t:\r\n ").replace(b",", b"\n,\t")
    yield "indented", json.dumps(json.loads(ping), indent=4).encode()
    yield (
        "keys backwards",
        (b'{"version":"0.2.2","payload":{"path":[]},"cmd":"SAVE","to":1,"from":"me"}'),
    )
    yield "capital keys", ping.replace(b"from", b"From")
    yield "keys with spaces", ping.replace(b'"cmd"', b'"cmd "')
    yield "keys with a NUL", ping.replace(b'"cmd"', b'"cmd\\u0000"')
    yield "an empty key", ping.replace(b"{", b'{"":"cmd",', 1)
    for field in (b"from", b"cmd", b"payload", b"version"):
        escaped = b'"\\u%04x%s"' % (field[0], field[1:])
        name = field.decode()
        yield f"{name} as an escaped key", save.replace(b'"%s"' % field, escaped)
        for value in (b'"other"', b"null", b'"0.2.2"', b'"PING"', b"{}", b"[]", b'{"path":2}'):
            text = value.decode()
            unhashable = name == "cmd" and value[:1] in b"[{" and len(value) > 2
            yield f"{name} first {text}", save.replace(b"{", b'{"%s":%s,' % (field, value), 1)
            yield (
                f"{name} first, escaped, {text}",
                save.replace(b"{", b"{%s:%s," % (escaped, value), 1),
            )
            if not unhashable:
                yield f"{name} last {text}", save[:-1] + b',"%s":%s}' % (field, value)
                yield f"{name} last, escaped, {text}", save[:-1] + b",%s:%s}" % (escaped, value)
    yield "an escaped command", ping.replace(b'"PING"', b'"\\u0050\\u0049NG"')
    yield "an escaped version", ping.replace(b'"0.2.2"', b'"0\\u002e2.2"')
    yield "a version that goes on", ping.replace(b'"0.2.2"', b'"0.2.2\\u0000"')
    yield "a command that goes on", ping.replace(b'"PING"', b'"PING\\u0000"')
    yield "a command with an accent", ping.replace(b'"PING"', '"PÏNG"'.encode())
    yield "an envelope inside", envelope(extra=ping.decode(), payload=save.decode(), cmd='"SCAN"')
    yield "an envelope as from", envelope(from_=ping.decode())
    yield "cmd inside only", b'{"from":"me","payload":{"cmd":"PING"},"version":"0.2.2"}'
    yield "an envelope in a list", b"[" + ping + b"]"
    yield "an envelope in a string", json.dumps(ping.decode()).encode()


def _large() -> Iterator[tuple[str, bytes]]:
    text = '"' + "x" * 1_000_000 + '"'
    accents = '"' + "é\\n" * 200_000 + '"'
    numbers = json.dumps([i / 3 for i in range(50_000)])
    objects = json.dumps([{"i": i, "é": [None, True]} for i in range(20_000)])
    yield "1 MB path", envelope(cmd='"SAVE"', payload=f'{{"path": {text}}}')
    yield "large text with escapes", envelope(cmd='"SAVE"', payload=f'{{"path": {accents}}}')
    yield "1 MB of positions", envelope(cmd='"SET"', payload=f'{{"positions": {numbers}}}')
    yield "many objects", envelope(cmd='"OPT"', payload=f'{{"data": {objects}}}')
    yield "1 MB PING", envelope(payload=text)
    yield "1 MB from", envelope(from_=text)
    yield "large from with escapes", envelope(from_=accents)
    yield "large from, in numbers", envelope(from_=numbers, cmd='"NOPE"')
    yield "1 MB command", envelope(cmd=text)
    yield "1 MB version", envelope(version=text)
    yield "1 MB of spaces", b" " * 1_000_000 + _plain()
    many = ", ".join(f'"key {i}": {i}' for i in range(20_000))
    yield "many keys", b"{" + many.encode() + b"," + _plain()[1:]


def lethal() -> Iterator[tuple[str, list[bytes]]]:
    """Yield (name, frames) of what ends the original's thread, without an answer."""
    ping = _plain()
    for value in UNHASHABLE:
        yield f"cmd {_short(value)}", [envelope(cmd=value)]
        yield f"cmd {_short(value)}, from a list", [envelope(cmd=value, from_='["me"]')]
    yield "cmd last []", [ping[:-1] + b',"cmd":["PING"]}']
    for name, body in _malformed(ping):
        yield name, [body]
    yield "an empty second frame", [ping, b""]
    yield "a second frame", [ping, b"x"]
    yield "two requests", [ping, ping]
    yield "an empty first frame", [b"", ping]
    yield "two empty frames", [b"", b""]
    yield "a second frame to a callback", [_plain("SAVE"), b"x"]
    yield "a second frame to an unknown command", [_plain("NOPE"), b"x"]
    yield "a second frame to an error", [envelope("from"), b"x"]
    yield "many frames", [ping] * 50
    for digits in (4301, 100_000):
        number = "9" * digits
        yield f"{digits} digits in payload", [envelope(payload=number)]
        yield (
            f"{digits} digits in a callback's value",
            [envelope(cmd='"SAVE"', payload=f'{{"path": -{number}}}')],
        )
        yield f"{digits} digits as from", [envelope(from_=number)]
        yield f"{digits} digits as cmd", [envelope(cmd=number)]
        yield f"{digits} digits as version", [envelope(version=number)]
        yield f"{digits} digits in a field nobody reads", [envelope(extra=number)]
        yield f"{digits} digits and nothing else", [number.encode()]
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * 200_000 + "1" + closing * 200_000
        yield f"200,000 times {opening} in payload", [envelope(payload=deep)]
        yield f"200,000 times {opening} as from", [envelope(from_=deep)]
        yield f"200,000 times {opening} as cmd", [envelope(cmd=deep)]
        yield f"200,000 times {opening} unclosed", [opening.encode() * 200_000]


def _malformed(ping: bytes) -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "whitespace", b" \n"
    yield "a NUL", b"\x00"
    yield "text", b"hello"
    yield "a byte order mark", b"\xef\xbb\xbf" + ping
    yield "UTF-16", ping.decode().encode("utf-16")
    yield "UTF-16-LE", ping.decode().encode("utf-16-le")
    yield "UTF-32", ping.decode().encode("utf-32")
    for name, wrong in (
        ("stray 0xff", b"\xff"),
        ("a lone continuation byte", b"\x80"),
        ("a cut sequence", b"\xe2\x82"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xe0\x80\x80"),
        ("an encoded surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("Latin-1", "é".encode("latin-1")),
    ):
        yield f"{name} in a value", ping.replace(b'"me"', b'"m' + wrong + b'e"')
        yield f"{name} in a key", ping.replace(b'"path"', b'"pa' + wrong + b'th"')
        yield f"{name} at the end", ping + wrong
        yield f"{name} in a field nobody reads", ping.replace(b"{", b'{"x":"' + wrong + b'",', 1)
    for cut in range(1, len(ping)):
        yield f"the first {cut} bytes", ping[:cut]
    yield "twice", ping + ping
    yield "a byte more", ping + b"x"
    yield "a NUL more", ping + b"\x00"
    yield "a bracket more", ping + b"}"
    yield "a vertical tab before", b"\x0b" + ping
    yield "a no-break space before", "\xa0".encode() + ping
    yield "single quotes", ping.replace(b'"', b"'")
    yield "bare keys", ping.replace(b'"cmd"', b"cmd")
    yield "a comma more", ping[:-1] + b",}"
    yield "a comma in a list", ping.replace(b'"/p"', b"[1,]")
    yield "a comma less", ping.replace(b",", b" ", 1)
    yield "a colon less", ping.replace(b":", b" ", 1)
    yield "no value", ping.replace(b'"/p"', b"")
    yield "a comment", ping + b"// no"
    yield "an open string", ping.replace(b'"me"', b'"me')
    yield "a wrong bracket", ping[:-1] + b"]"
    for wrong in (
        *(b"01", b"-01", b"1.", b".5", b"+1", b"1e", b"1e+", b"0x10", b"--1", b"1_0", b"1 2"),
        *(b"-", b"-NaN", b"nan", b"inf", b"+Infinity", b"Infinit", b"-Infinit", b"None"),
        *(b"True", b"nul", b"tru", b"truely", b"undefined", b"'p'", b'"\\x41"', b'"\\u12"'),
        *(b'"\\u12g4"', b'"\\', b'"\\u+123"', b'"\\ud83d\\u"', b'"a\nb"', b'"a\tb"', b'"\x00"'),
        *(b'"\x1f"', b"[1 2]", b"[,1]", b"{,}", b"{1:2}", b'{"a"}', b'{"a":1 "b":2}', b"[1"),
    ):
        text = wrong.decode()
        yield f"the value {text!r}", ping.replace(b'"/p"', wrong)
        yield f"from {text!r}", ping.replace(b'"me"', wrong)
