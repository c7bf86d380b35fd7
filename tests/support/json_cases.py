"""JSON texts with names, for every test that must agree on what JSON is.

``rule`` is what RFC 8259 (with UTF-8) says of a text: ``"accept"``, ``"reject"``, or
``"either"`` where it leaves limits and oddities to implementations. ``verdict`` is what the
envelope scanner must answer for that very text: 0 opaque, 1 strict, 2 certain. Only objects
can be more than opaque. The module needs nothing but the standard library.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One text and what is expected of it."""

    name: str
    rule: str
    text: bytes
    verdict: int


def _accept(name: str, text: bytes, verdict: int | None = None) -> Case:
    if verdict is None:
        verdict = 2 if text.lstrip(b" \t\r\n").startswith(b"{") else 0
    return Case(name, "accept", text, verdict)


def _reject(name: str, text: bytes) -> Case:
    return Case(name, "reject", text, 0)


def _either(name: str, text: bytes, verdict: int) -> Case:
    return Case(name, "either", text, verdict)


REQUEST = (
    b'{"from": "me", "to": "x", "cmd": "GET", "payload": {}, "version": "0.2.2", '
    b'"error_msg": null, "msg": "Get values."}'
)

_ENVELOPES = [
    _accept("request", REQUEST),
    _accept("request_compact", REQUEST.replace(b": ", b":").replace(b", ", b",")),
    _accept("request_indented", REQUEST.replace(b", ", b",\n    ").replace(b"{", b"{\n    ")),
    _accept("request_crlf", REQUEST.replace(b", ", b",\r\n\t")),
    _accept("request_set", REQUEST.replace(b"{}", b'{"positions": [1.5, -2, 3e2]}')),
    _accept("request_unicode_sender", REQUEST.replace(b"me", "Jürgen µ 日本 😀".encode())),
    _accept("request_without_payload", b'{"version": "0.2.2", "cmd": "GET", "from": "me"}'),
    _accept("request_from_object", b'{"from": {"a": [1]}, "cmd": "PING", "payload": null}'),
    _accept("request_from_number", b'{"from": 0, "version": 1, "cmd": true, "payload": false}'),
    _accept("envelope_in_payload", b'{"payload": {"cmd": "STOP", "from": "x"}, "cmd": "GET"}'),
    _accept("envelope_in_array", b'{"x": [{"cmd": "STOP"}], "cmd": "GET"}'),
    _accept("duplicate_cmd", b'{"cmd": "GET", "cmd": "STOP"}'),
    _accept("duplicate_kinds", b'{"payload": {"a": 1}, "payload": [], "payload": 0}'),
    _accept("duplicate_empty_last", b'{"from": "me", "from": ""}'),
    _accept("duplicate_around_others", b'{"cmd": 1, "to": 2, "cmd": 3, "to": 4, "cmd": 5}'),
    _accept("keys_nearly_members", b'{"cm": 1, "cmdd": 2, "From": 3, "versioN": 4, "payloa": 5}'),
    _accept("keys_with_spaces", b'{" cmd": 1, "cmd ": 2, "from\\\\": 3}', 1),
    _accept("key_escaped_member", b'{"c\\u006dd": "GET", "from": "me"}', 1),
    _accept("key_escaped_duplicate", b'{"cmd": "GET", "\\u0063md": "STOP"}', 1),
    _accept("key_escaped_stranger", b'{"cmd": "GET", "a\\tb": 1}', 1),
    _accept("key_escaped_quote", b'{"\\"cmd\\"": 1}', 1),
    _accept("key_escaped_deeper", b'{"payload": {"c\\u006dd": "GET"}, "cmd": "PING"}'),
    _accept("value_escaped", b'{"cmd": "\\u0047ET", "from": "m\\u00e9"}'),
    _either("key_lone_surrogate", b'{"\\ud800": 1}', 1),
]

_STRUCTURE = [
    _accept("object_empty", b"{}"),
    _accept("object_empty_spaced", b" { } "),
    _accept("object_one", b'{"a": 1}'),
    _accept("object_empty_key", b'{"": 0}'),
    _accept("object_duplicate", b'{"a": 1, "a": 1}'),
    _accept("object_nested", b'{"a": {"b": {"c": {}}}}'),
    _accept("object_of_arrays", b'{"a": [], "b": [[]], "c": [[], {}]}'),
    _accept("object_all_kinds", b'{"a": null, "b": true, "c": false, "d": 1, "e": "", "f": []}'),
    _accept("object_long_key", b'{"' + b"k" * 300 + b'": 1}'),
    _accept("object_unicode_key", '{"clé": 1}'.encode()),
    _accept("array_empty", b"[]"),
    _accept("array_mixed", b'[1, "a", null, true, false, {}, []]'),
    _accept("array_trailing_space", b"[1] "),
    _accept("lone_string", b'"cmd"'),
    _accept("lone_number", b"42"),
    _accept("lone_null", b"null"),
    _accept("lone_true", b"true"),
    _accept("lone_false", b"false"),
    _reject("empty", b""),
    _reject("only_space", b" \t\r\n"),
    _reject("object_open", b"{"),
    _reject("object_close_only", b"}"),
    _reject("object_unclosed", b'{"a": 1'),
    _reject("object_unclosed_after_comma", b'{"a": 1,'),
    _reject("object_unclosed_key", b'{"a'),
    _reject("object_unclosed_after_key", b'{"a"'),
    _reject("object_unclosed_after_colon", b'{"a":'),
    _reject("object_trailing_comma", b'{"a": 1,}'),
    _reject("object_leading_comma", b'{,"a": 1}'),
    _reject("object_only_comma", b"{,}"),
    _reject("object_double_comma", b'{"a": 1,, "b": 2}'),
    _reject("object_missing_comma", b'{"a": 1 "b": 2}'),
    _reject("object_missing_colon", b'{"a" 1}'),
    _reject("object_double_colon", b'{"a":: 1}'),
    _reject("object_comma_for_colon", b'{"a", 1}'),
    _reject("object_equals_for_colon", b'{"a" = 1}'),
    _reject("object_missing_value", b'{"a": }'),
    _reject("object_missing_value_then_more", b'{"a": , "b": 1}'),
    _reject("object_missing_key", b"{: 1}"),
    _reject("object_unquoted_key", b"{a: 1}"),
    _reject("object_single_quoted_key", b"{'a': 1}"),
    _reject("object_number_key", b"{1: 1}"),
    _reject("object_null_key", b"{null: 1}"),
    _reject("object_array_key", b"{[]: 1}"),
    _reject("object_closed_as_array", b'{"a": 1]'),
    _reject("object_closed_twice", b'{"a": 1}}'),
    _reject("object_then_object", b'{"a": 1}{"b": 2}'),
    _reject("object_then_comma", b'{"a": 1},'),
    _reject("object_then_word", b'{"a": 1} x'),
    _reject("object_then_nul", b'{"a": 1}\x00'),
    _reject("object_then_comment", b'{"a": 1} // x'),
    _reject("object_inner_comment", b'{"a": /* x */ 1}'),
    _reject("object_two_values", b'{"a": 1 2}'),
    _reject("object_inner_unclosed", b'{"a": {"b": 1}'),
    _reject("array_open", b"["),
    _reject("array_close_only", b"]"),
    _reject("array_unclosed", b"[1"),
    _reject("array_unclosed_after_comma", b"[1,"),
    _reject("array_trailing_comma", b"[1,]"),
    _reject("array_leading_comma", b"[,1]"),
    _reject("array_only_comma", b"[,]"),
    _reject("array_double_comma", b"[1,,2]"),
    _reject("array_missing_comma", b"[1 2]"),
    _reject("array_with_colon", b'["a": 1]'),
    _reject("array_closed_as_object", b"[1}"),
    _reject("array_closed_twice", b"[1]]"),
    _reject("array_in_object_crossed", b'{"a": [1}, 2]'),
    _reject("object_in_array_crossed", b'[{"a": 1]}'),
    _reject("array_in_object_unclosed", b'{"a": [1}'),
    _reject("array_in_object_trailing_comma", b'{"a": [1,]}'),
    _reject("array_in_object_only_comma", b'{"a": [,]}'),
    _reject("array_in_object_closed_twice", b'{"a": [1]]}'),
]

_WORDS = [
    _accept("words", b'{"a": true, "b": false, "c": null}'),
    _reject("word_true_cut", b'{"a": tru}'),
    _reject("word_false_cut", b'{"a": fals}'),
    _reject("word_null_cut", b'{"a": nul}'),
    _reject("word_true_at_end", b'{"a": tru'),
    _reject("word_true_longer", b'{"a": truee}'),
    _reject("word_capital_true", b'{"a": True}'),
    _reject("word_upper_null", b'{"a": NULL}'),
    _reject("word_none", b'{"a": None}'),
    _reject("word_undefined", b'{"a": undefined}'),
    _reject("word_nan", b'{"a": NaN}'),
    _reject("word_nan_in_list", b'{"payload": {"positions": [1.0, NaN]}}'),
    _reject("word_minus_nan", b'{"a": -NaN}'),
    _reject("word_lower_nan", b'{"a": nan}'),
    _reject("word_infinity", b'{"a": Infinity}'),
    _reject("word_minus_infinity", b'{"a": -Infinity}'),
    _reject("word_plus_infinity", b'{"a": +Infinity}'),
    _reject("word_inf", b'{"a": inf}'),
    _reject("word_single_quotes", b"{\"a\": 'b'}"),
]

_NUMBERS = [
    _accept(f"number_{name}", b'{"payload": ' + number + b"}")
    for name, number in {
        "zero": b"0",
        "minus_zero": b"-0",
        "one": b"1",
        "negative": b"-17",
        "float": b"1.5",
        "float_zero": b"0.0",
        "float_minus_zero": b"-0.0",
        "float_small": b"0.001",
        "float_long": b"3.141592653589793238462643383279502884197",
        "float_long_zero": b"0." + b"0" * 40,
        "float_long_tiny": b"0." + b"0" * 340 + b"1",
        "float_twenty_characters": b"0.000000000000000001",
        "exponent": b"1e5",
        "exponent_capital": b"1E5",
        "exponent_plus": b"1e+5",
        "exponent_minus": b"1e-5",
        "exponent_zeros": b"1e005",
        "exponent_of_zero": b"0e5",
        "exponent_of_float": b"-1.5E-12",
        "underflow": b"1e-400",
        "underflow_negative": b"-1e-400",
        "exponent_huge_negative": b"1e-99999999999999999999",
        "eighteen_digits": b"123456789012345678",
        "minus_eighteen_digits": b"-123456789012345678",
        "eighteen_nines": b"9" * 18,
        "twenty_digits_float": b"12345678901234567890.5",
        "twenty_digits_exponent": b"12345678901234567890e2",
        "exactly_eight_digits": b"12345678",
        "exactly_sixteen_digits": b"1234567812345678",
    }.items()
]
_NUMBERS += [
    _reject(f"number_{name}", b'{"payload": ' + number + b"}")
    for name, number in {
        "leading_zero": b"01",
        "double_zero": b"00",
        "minus_leading_zero": b"-01",
        "leading_zero_float": b"00.5",
        "leading_zero_long": b"0123456789",
        "plus": b"+1",
        "only_minus": b"-",
        "double_minus": b"--1",
        "minus_space": b"- 1",
        "minus_word": b"-a",
        "dot_first": b".5",
        "minus_dot_first": b"-.5",
        "dot_last": b"1.",
        "dot_only": b".",
        "dot_then_exponent": b"1.e5",
        "two_dots": b"1.2.3",
        "exponent_only": b"e5",
        "exponent_empty": b"1e",
        "exponent_plus_empty": b"1e+",
        "exponent_minus_empty": b"1E-",
        "exponent_double_sign": b"1e+-5",
        "exponent_float": b"1e5.5",
        "exponent_twice": b"1e5e5",
        "hexadecimal": b"0x1F",
        "octal": b"0o17",
        "underscore": b"1_000",
        "thousands": b"1'000",
        "suffix": b"1.5f",
        "imaginary": b"1j",
        "spaces_inside": b"1 000",
        "fraction": b"1/2",
        "full_width_digit": "\uff11".encode(),
        "arabic_digit": "1\u0661".encode(),
        "letters_inside": b"12a34",
        "colon_after": b"1234567:",
        "slash_after": b"1234567/",
    }.items()
]
_NUMBERS += [
    _reject("number_unfinished", b'{"payload": 12'),
    _reject("number_unfinished_minus", b'{"payload": -'),
    _reject("number_unfinished_dot", b'{"payload": 1.'),
    _reject("number_unfinished_exponent", b'{"payload": 1e'),
    _either("number_nineteen_digits", b'{"payload": 1234567890123456789}', 0),
    _either("number_minus_nineteen_digits", b'{"payload": -1234567890123456789}', 0),
    _either("number_beyond_64_bits", b'{"payload": 12345678901234567890123}', 0),
    _either("number_long_elsewhere", b'{"cmd": "GET", "to": [' + b"7" * 30 + b"]}", 0),
    _either("number_five_thousand_digits", b'{"payload": ' + b"1" * 5000 + b"}", 0),
    _either("number_five_thousand_digits_float", b'{"payload": ' + b"1" * 5000 + b".5}", 2),
    _either("number_overflow", b'{"payload": 1e400}', 2),
    _either("number_overflow_negative", b'{"payload": -1e400}', 2),
    _either("number_exponent_huge", b'{"payload": 1e99999999999999999999}', 2),
]

_STRINGS = [
    _accept(f"string_{name}", b'{"from": "' + content + b'"}')
    for name, content in {
        "empty": b"",
        "one_space": b" ",
        "one_letter": b"a",
        "seven_letters": b"abcdefg",
        "eight_letters": b"abcdefgh",
        "nine_letters": b"abcdefghi",
        "long": b"x" * 1000,
        "looks_like_json": b"{[,:]}",
        "slash": b"a/b",
        "single_quote": b"it's",
        "delete_character": b"\x7f",
        "escape_quote": b'\\"',
        "escape_backslash": b"\\\\",
        "escape_slash": b"\\/",
        "escape_controls": b"\\b\\f\\n\\r\\t",
        "escape_backslash_twice": b"\\\\\\\\",
        "escape_backslash_then_letter": b"\\\\n",
        "escape_backslash_then_u": b"\\\\u00",
        "escape_after_seven": b'abcdefg\\"',
        "escape_after_eight": b'abcdefgh\\"',
        "escape_nul": b"\\u0000",
        "escape_latin": b"\\u00e9",
        "escape_hex_cases": b"\\uABCD\\uabcd\\uaBcD",
        "escape_pair": b"\\ud83d\\ude00",
        "escape_noncharacter": b"\\uFFFF",
        "windows_path": b"C:\\\\data\\\\run 1",
        "utf8_two": "é".encode(),
        "utf8_three": "日本".encode(),
        "utf8_four": "😀".encode(),
        "utf8_first_two": b"\xc2\x80",
        "utf8_last_two": b"\xdf\xbf",
        "utf8_first_three": b"\xe0\xa0\x80",
        "utf8_before_surrogates": b"\xed\x9f\xbf",
        "utf8_after_surrogates": b"\xee\x80\x80",
        "utf8_last_three": b"\xef\xbf\xbf",
        "utf8_first_four": b"\xf0\x90\x80\x80",
        "utf8_last_four": b"\xf4\x8f\xbf\xbf",
        "utf8_separators": "\u2028\u2029".encode(),
        "utf8_bom_inside": "\ufeff".encode(),
        "utf8_combining": "e\u0301".encode(),
        "utf8_after_seven": "abcdefgé".encode(),
        "utf8_long": "µm ".encode() * 100,
    }.items()
]
_STRINGS += [
    _reject(f"string_{name}", b'{"from": "' + content + b'"}')
    for name, content in {
        "control_nul": b"\x00",
        "control_newline": b"a\nb",
        "control_tab": b"a\tb",
        "control_return": b"a\rb",
        "control_escape": b"\x1b[0m",
        "control_last": b"\x1f",
        "control_after_seven": b"abcdefg\x01",
        "control_after_eight": b"abcdefgh\x01",
        "control_after_space": b"  \x1f  \x1f  ",
        "escape_unknown": b"\\a",
        "escape_hex": b"\\x41",
        "escape_octal": b"\\101",
        "escape_single_quote": b"\\'",
        "escape_space": b"\\ ",
        "escape_newline": b"\\\n",
        "escape_nul_byte": b"\\\x00",
        "escape_capital_u": b"\\U0041",
        "escape_utf8": "\\é".encode(),
        "escape_closing_quote": b"\\",
        "escape_u_empty": b"\\u",
        "escape_u_one": b"\\u1",
        "escape_u_three": b"\\u123",
        "escape_u_letter": b"\\u12g4",
        "escape_u_sign": b"\\u+123",
        "escape_u_0x": b"\\u0x41",
        "escape_u_spaces": b"\\u 041",
        "escape_u_underscore": b"\\u1_23",
        "escape_u_braces": b"\\u{41}",
        "escape_second_short": b"\\ud83d\\ude",
        "escape_second_unknown": b"\\ud83d\\x",
        "utf8_lone_continuation": b"\x80",
        "utf8_lone_continuation_last": b"\xbf",
        "utf8_cut_two": b"\xc3",
        "utf8_cut_three": b"\xe6\x97",
        "utf8_cut_four": b"\xf0\x9f\x98",
        "utf8_cut_then_letters": b"\xe6\x97abc",
        "utf8_lead_then_lead": b"\xc3\xc3\xa9",
        "utf8_extra_continuation": b"\xc3\xa9\xa9",
        "utf8_overlong_nul": b"\xc0\x80",
        "utf8_overlong_slash": b"\xc0\xaf",
        "utf8_overlong_two": b"\xc1\xbf",
        "utf8_overlong_three": b"\xe0\x80\xaf",
        "utf8_overlong_three_last": b"\xe0\x9f\xbf",
        "utf8_overlong_four": b"\xf0\x80\x80\xaf",
        "utf8_overlong_four_last": b"\xf0\x8f\xbf\xbf",
        "utf8_surrogate_first": b"\xed\xa0\x80",
        "utf8_surrogate_last": b"\xed\xbf\xbf",
        "utf8_surrogate_pair": b"\xed\xa0\xbd\xed\xb8\x80",
        "utf8_beyond_unicode": b"\xf4\x90\x80\x80",
        "utf8_lead_f5": b"\xf5\x80\x80\x80",
        "utf8_five_bytes": b"\xf8\x88\x80\x80\x80",
        "utf8_six_bytes": b"\xfc\x84\x80\x80\x80\x80",
        "utf8_fe": b"\xfe",
        "utf8_ff": b"\xff",
        "latin1": b"caf\xe9",
    }.items()
]
_STRINGS += [
    _reject("string_unclosed", b'{"from": "me'),
    _reject("string_unclosed_empty", b'{"from": "'),
    _reject("string_unclosed_escape", b'{"from": "me\\'),
    _reject("string_unclosed_u", b'{"from": "me\\u00'),
    _reject("string_unclosed_utf8", b'{"from": "m\xc3'),
    _reject("string_escape_outside", b'{"a": \\u0041}'),
    _reject("string_key_control", b'{"c\nmd": 1}'),
    _reject("string_key_bad_utf8", b'{"cm\xff": 1}'),
    _reject("string_key_bad_escape", b'{"c\\md": 1}'),
    _reject("string_key_unclosed", b'{"cmd: 1}'),
    _reject("string_deep_bad_utf8", b'{"payload": {"a": [{"b": "\xc0\x80"}]}}'),
    _reject("string_deep_control", b'{"payload": {"a": [{"b": "\x00"}]}}'),
    _either("string_lone_high_surrogate", b'{"from": "\\ud800"}', 2),
    _either("string_lone_low_surrogate", b'{"from": "\\udc00"}', 2),
    _either("string_two_high_surrogates", b'{"from": "\\ud800\\ud800"}', 2),
    _either("string_swapped_surrogates", b'{"from": "\\ude00\\ud83d"}', 2),
    _either("string_high_surrogate_then_letter", b'{"from": "\\ud83dx"}', 2),
    _either("string_high_surrogate_then_newline", b'{"from": "\\ud83d\\n"}', 2),
]

_SPACE = [
    _accept("space_all_kinds", b' \t\r\n{ \t\r\n"a" \t\r\n: \t\r\n[ \t\r\n] \t\r\n} \t\r\n'),
    _accept("space_none", b'{"a":[1,{"b":"c"}],"cmd":"GET"}'),
    _accept("space_much", b" " * 1000 + b"{" + b"\n" * 1000 + b"}" + b"\t" * 1000),
    _reject("space_form_feed", b'{\x0c"a": 1}'),
    _reject("space_vertical_tab", b'{\x0b"a": 1}'),
    _reject("space_nul", b'{\x00"a": 1}'),
    _reject("space_unit_separator", b'{"a":\x1f1}'),
    _reject("space_no_break", '{"a":\u00a01}'.encode()),
    _reject("space_no_break_latin1", b'{"a":\xa01}'),
    _reject("space_next_line", '{"a":\u00851}'.encode()),
    _reject("space_line_separator", '{"a": 1}\u2028'.encode()),
    _reject("space_word_joiner", '\u2060{"a": 1}'.encode()),
    _reject("space_delete", b'{"a": 1}\x7f'),
    _reject("space_escaped", b'{\\n"a": 1}'),
]

_ENCODINGS = [
    _either("bom", b'\xef\xbb\xbf{"cmd": "GET"}', 0),
    _reject("bom_only", b"\xef\xbb\xbf"),
    _reject("bom_cut", b'\xef\xbb{"cmd": "GET"}'),
    _reject("bom_after_space", b' \xef\xbb\xbf{"cmd": "GET"}'),
    _reject("bom_at_end", b'{"cmd": "GET"}\xef\xbb\xbf'),
    _reject("utf16_little", '{"cmd": "GET"}'.encode("utf-16-le")),
    _reject("utf16_big", '{"cmd": "GET"}'.encode("utf-16-be")),
    _reject("utf16_bom_little", b"\xff\xfe" + '{"cmd": "GET"}'.encode("utf-16-le")),
    _reject("utf16_bom_big", b"\xfe\xff" + '{"cmd": "GET"}'.encode("utf-16-be")),
    _reject("utf32_little", '{"cmd": "GET"}'.encode("utf-32-le")),
    _reject("latin1_key", '{"clé": 1}'.encode("latin-1")),
    _reject("bad_byte_first", b'\xff{"cmd": "GET"}'),
    _reject("bad_byte_last", b'{"cmd": "GET"}\xff'),
    _reject("bad_byte_between", b'{"cmd"\xff: "GET"}'),
    _reject("bad_byte_as_value", b'{"cmd": \xff}'),
    _reject("letter_between", '{"cmd" é: "GET"}'.encode()),
]


def _nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    """An object whose payload reaches `depth` levels, the object itself included."""
    return b'{"payload": ' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"


_NESTING = [
    _accept("nesting_arrays_64", _nested(b"[", b"]", 64)),
    _accept("nesting_arrays_65", _nested(b"[", b"]", 65)),
    _accept("nesting_objects_64", _nested(b'{"a":', b"}", 64)),
    _accept("nesting_objects_65", _nested(b'{"a":', b"}", 65)),
    _accept("nesting_mixed_129", _nested(b'[{"a":', b"}]", 65)),
    _either("nesting_arrays_255", _nested(b"[", b"]", 255), 2),
    _either("nesting_arrays_256", _nested(b"[", b"]", 256), 2),
    _either("nesting_arrays_257", _nested(b"[", b"]", 257), 0),
    _either("nesting_objects_256", _nested(b'{"a":', b"}", 256), 2),
    _either("nesting_objects_257", _nested(b'{"a":', b"}", 257), 0),
    _either("nesting_empty_256", b'{"a":' + b"[" * 255 + b"]" * 255 + b"}", 2),
    _either("nesting_empty_257", b'{"a":' + b"[" * 256 + b"]" * 256 + b"}", 0),
    _either("nesting_deep", _nested(b"[", b"]", 100_000), 0),
    _accept("nesting_wide", b'{"payload": [' + b"[]," * 1000 + b'{}], "cmd": "GET"}'),
    _reject("nesting_open_arrays", b'{"a":' + b"[" * 100_000),
    _reject("nesting_open_objects", b'{"a":' * 100_000),
    _reject("nesting_crossed", b'{"a":' + b"[{" * 60 + b"]}" * 60 + b"}"),
    _reject("nesting_one_short", b'{"a":' + b"[" * 70 + b"]" * 69 + b"}"),
    _reject("nesting_one_over", b'{"a":' + b"[" * 70 + b"]" * 71 + b"}"),
]

CASES: list[Case] = [
    *_ENVELOPES,
    *_STRUCTURE,
    *_WORDS,
    *_NUMBERS,
    *_STRINGS,
    *_SPACE,
    *_ENCODINGS,
    *_NESTING,
]
