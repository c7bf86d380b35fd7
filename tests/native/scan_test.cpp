// Tests of the envelope scanner without Python. Every text is copied into a heap buffer of exactly
// its size, so that AddressSanitizer sees the first byte read too many. Returns 1 if any failed.

#include "requests/scan.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int checks = 0;
int failures = 0;

#define CHECK(condition) check((condition), #condition, __LINE__, text)

void check(bool holds, const char* condition, int line, const std::string& text) {
    ++checks;
    if (holds) return;
    ++failures;
    std::printf("line %d: %s fails for %zu bytes: %.200s\n", line, condition, text.size(),
                text.c_str());
}

// A scanned text. The members point into `buffer`.
struct scanned {
    explicit scanned(const std::string& text) {
        buffer = static_cast<char*>(std::malloc(text.size() == 0 ? 1 : text.size()));
        if (buffer == nullptr) std::abort();
        if (!text.empty()) std::memcpy(buffer, text.data(), text.size());
        std::memset(static_cast<void*>(&envelope), 0xA5, sizeof envelope);
        verdict = ls_scan(buffer, text.size(), &envelope);
    }
    ~scanned() { std::free(buffer); }
    scanned(const scanned&) = delete;
    scanned& operator=(const scanned&) = delete;

    char* buffer;
    ls_envelope envelope;
    int verdict;
};

bool is_absent(const ls_value& value) {
    return value.text == nullptr && value.size == 0 && value.kind == LS_ABSENT &&
           value.truth == LS_FALSY && value.escaped == 0;
}

bool is_empty(const ls_envelope& envelope) {
    return is_absent(envelope.version) && is_absent(envelope.cmd) && is_absent(envelope.from) &&
           is_absent(envelope.payload);
}

bool is_value(const ls_value& value, const std::string& text, int kind, int truth, int escaped) {
    return value.kind == kind && value.truth == truth && value.escaped == escaped &&
           std::string(value.text, value.size) == text;
}

void expect_verdict(const std::string& text, int verdict) {
    const scanned got(text);
    CHECK(got.verdict == verdict);
    if (verdict != LS_CERTAIN) CHECK(is_empty(got.envelope));
}

// The value as the payload of a request, with space around it and more behind it.
void expect_payload(const std::string& value, int kind, int truth, int escaped = 0) {
    const std::string text = "{\"cmd\": \"SET\", \"payload\": " + value + " \r\n, \"to\": 1}";
    const scanned got(text);
    CHECK(got.verdict == LS_CERTAIN);
    CHECK(is_value(got.envelope.payload, value, kind, truth, escaped));
    CHECK(is_value(got.envelope.cmd, "\"SET\"", LS_STRING, LS_TRUTHY, 0));
    CHECK(is_absent(got.envelope.from));
}

void expect_bad_payload(const std::string& value) {
    expect_verdict("{\"payload\": " + value + "}", LS_OPAQUE);
    expect_verdict("{\"payload\": [" + value + "]}", LS_OPAQUE);
    expect_verdict("{\"payload\": " + value, LS_OPAQUE);
}

std::string repeat(const std::string& part, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += part;
    return all;
}

const char request[] = "{\"from\": \"me\", \"to\": \"x\", \"cmd\": \"GET\", \"payload\": {}, "
                       "\"version\": \"0.2.2\", \"error_msg\": null, \"msg\": \"Get values.\"}";

void test_request() {
    const std::string text = request;
    const scanned got(text);
    CHECK(got.verdict == LS_CERTAIN);
    CHECK(is_value(got.envelope.from, "\"me\"", LS_STRING, LS_TRUTHY, 0));
    CHECK(is_value(got.envelope.cmd, "\"GET\"", LS_STRING, LS_TRUTHY, 0));
    CHECK(is_value(got.envelope.version, "\"0.2.2\"", LS_STRING, LS_TRUTHY, 0));
    CHECK(is_value(got.envelope.payload, "{}", LS_OBJECT, LS_FALSY, 0));
    CHECK(got.envelope.from.text == got.buffer + 9);
}

// No part of an object is an object; with space behind it it remains the same.
void test_cut_and_continued() {
    const std::string text = request;
    for (size_t size = 0; size < text.size(); ++size)
        expect_verdict(text.substr(0, size), LS_OPAQUE);
    for (const char* space : {" ", "\t", "\r\n", "            "}) {
        expect_verdict(text + space, LS_CERTAIN);
        expect_verdict(space + text, LS_CERTAIN);
    }
    for (int byte = 0; byte < 256; ++byte) {
        const bool space = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
        const int verdict = space ? LS_CERTAIN : LS_OPAQUE;
        expect_verdict(text + static_cast<char>(byte), verdict);
        expect_verdict(static_cast<char>(byte) + text, verdict);
    }
}

void test_nothing() {
    const std::string text = "(no buffer)";
    ls_envelope envelope;
    CHECK(ls_scan(nullptr, 0, &envelope) == LS_OPAQUE);
    CHECK(is_empty(envelope));
    for (const char* other : {"", " ", "\n\n", "[]", "1", "\"cmd\"", "null", "true", "[{}]"})
        expect_verdict(other, LS_OPAQUE);
}

void test_structure() {
    for (const char* good :
         {"{}", "{\"a\":[]}", "{\"a\":[[],{}],\"b\":{\"c\":[1,2,{\"d\":null}]}}"})
        expect_verdict(good, LS_CERTAIN);
    for (const char* bad : {"{",
                            "}",
                            "{]",
                            "{,}",
                            "{\"a\"}",
                            "{\"a\":}",
                            "{\"a\":1,}",
                            "{\"a\":1 \"b\":2}",
                            "{\"a\":1,,\"b\":2}",
                            "{\"a\"::1}",
                            "{\"a\",1}",
                            "{a:1}",
                            "{1:1}",
                            "{'a':1}",
                            "{\"a\":1}}",
                            "{\"a\":1}{}",
                            "{\"a\":[}",
                            "{\"a\":[1}",
                            "{\"a\":[1}]",
                            "{\"a\":{]}",
                            "{\"a\":[,]}",
                            "{\"a\":[1,]}",
                            "{\"a\":[1 2]}",
                            "{\"a\":[1:2]}",
                            "{\"a\":[\"b\":2]}",
                            "{\"a\":{1}}",
                            "{\"a\":[[1]}",
                            "{\"a\":[1]]}",
                            "{\"a\":1]",
                            "{\"a\":tru}",
                            "{\"a\":nulll}",
                            "{\"a\":falsE}",
                            "{\"a\":True}",
                            "{\"a\":t",
                            "{\"a\":NaN}",
                            "{\"a\":-Infinity}",
                            "{/**/}",
                            "{} //",
                            "{\f}",
                            "\xEF\xBB\xBF{}"})
        expect_verdict(bad, LS_OPAQUE);
    expect_verdict(std::string("{\0}", 3), LS_OPAQUE);
    expect_verdict(std::string("{}\0", 3), LS_OPAQUE);
}

void test_members() {
    const std::string text =
        "{\"from\":{\"cmd\":1},\"cmd\":\"A\",\"x\":[{\"version\":2}],\"cmd\":[3],"
        "\"payload\":\"\\n\",\"payload\":null,\"cm\":4,\"cmdd\":5,\"CMD\":6}";
    const scanned got(text);
    CHECK(got.verdict == LS_CERTAIN);
    CHECK(is_value(got.envelope.from, "{\"cmd\":1}", LS_OBJECT, LS_TRUTHY, 0));
    CHECK(is_value(got.envelope.cmd, "[3]", LS_ARRAY, LS_TRUTHY, 0));
    CHECK(is_value(got.envelope.payload, "null", LS_NULL, LS_FALSY, 0));
    CHECK(is_absent(got.envelope.version));
}

// A key one byte off is no member's key.
void test_nearly_members() {
    for (const char* name : {"version", "cmd", "from", "payload"}) {
        for (size_t place = 0; place < std::strlen(name); ++place) {
            std::string key = name;
            ++key[place];
            const std::string text = "{\"" + key + "\": 1, \"" + key.substr(place) + "\": 2}";
            const scanned got(text);
            CHECK(got.verdict == LS_CERTAIN);
            CHECK(is_empty(got.envelope));
        }
    }
}

void test_escaped_keys() {
    expect_verdict("{\"c\\u006dd\": 1, \"from\": 2}", LS_STRICT);
    expect_verdict("{\"from\": 2, \"a\\n\": {}}", LS_STRICT);
    expect_verdict("{\"\\ud800\": 1}", LS_STRICT);
    expect_verdict("{\"a\\n\": 1, \"b\": }", LS_OPAQUE);
    expect_verdict("{\"c\\md\": 1}", LS_OPAQUE);
    expect_verdict("{\"payload\": {\"a\\n\": [{\"\\\\\": 1}]}}", LS_CERTAIN);
}

void test_kinds_and_truth() {
    expect_payload("null", LS_NULL, LS_FALSY);
    expect_payload("false", LS_FALSE, LS_FALSY);
    expect_payload("true", LS_TRUE, LS_TRUTHY);
    expect_payload("\"\"", LS_STRING, LS_FALSY);
    expect_payload("\" \"", LS_STRING, LS_TRUTHY);
    expect_payload("\"\\u0000\"", LS_STRING, LS_TRUTHY, 1);
    expect_payload("\"\\\"\"", LS_STRING, LS_TRUTHY, 1);
    expect_payload("[]", LS_ARRAY, LS_FALSY);
    expect_payload("[ \n ]", LS_ARRAY, LS_FALSY);
    expect_payload("[[]]", LS_ARRAY, LS_TRUTHY);
    expect_payload("[null ]", LS_ARRAY, LS_TRUTHY);
    expect_payload("[\"\\n\"]", LS_ARRAY, LS_TRUTHY); // escapes count for strings only
    expect_payload("{}", LS_OBJECT, LS_FALSY);
    expect_payload("{\t}", LS_OBJECT, LS_FALSY);
    expect_payload("{\"\":{}}", LS_OBJECT, LS_TRUTHY);
    expect_payload("{\"a\":\"\\n\" }", LS_OBJECT, LS_TRUTHY);
}

void test_numbers() {
    for (const char* zero : {"0", "-0", "0.0", "-0.0", "0.000000000000000000"})
        expect_payload(zero, LS_NUMBER, LS_FALSY);
    for (const char* number : {"1", "-1", "10", "12345678", "0.5", "-0.001", "123456789012345678",
                               "-123456789012345678", "0.000000000000000001"})
        expect_payload(number, LS_NUMBER, LS_TRUTHY);
    for (const char* number : {"0e0", "1e5", "1E+5", "1e-400", "1.5e-5", "0.0000000000000000000",
                               "12345678901234567890.5", "12345678901234567890e1"})
        expect_payload(number, LS_NUMBER, LS_TRUTH_UNKNOWN);
    for (const char* bad : {"01",   "00",   "-01", "-",   "--1", "+1",   ".5",        "1.",
                            "1.e5", "1..2", "1e",  "1e+", "1E-", "e5",   "1e5.5",     "1e+-5",
                            "0x1F", "1_0",  "1 0", "- 1", "1a",  "1.5f", "12345678:", "12345678/"})
        expect_bad_payload(bad);
    for (int digits = 1; digits < 60; ++digits) {
        const std::string number = repeat("7", digits);
        expect_verdict("{\"a\":" + number + "}", digits <= 18 ? LS_CERTAIN : LS_OPAQUE);
        expect_verdict("{\"a\":[-" + number + "]}", digits <= 18 ? LS_CERTAIN : LS_OPAQUE);
        expect_verdict("{\"a\":" + number + "." + number + "}", LS_CERTAIN);
        expect_verdict("{\"a\":" + number + "e" + number + "}", LS_CERTAIN);
        expect_verdict("{\"a\":" + number + "." + number + "e-" + number + "}", LS_CERTAIN);
        expect_verdict("{\"a\":" + number, LS_OPAQUE);
        expect_verdict("{\"a\":0" + number + "}", LS_OPAQUE);
    }
}

// Every byte at every place of a number, which may end at once or go on for a step of eight.
void test_bytes_in_numbers() {
    for (int before = 1; before < 10; ++before) {
        for (int after : {0, 8}) {
            for (int byte = 0; byte < 256; ++byte) {
                const std::string text = "{\"from\":" + repeat("1", before) +
                                         static_cast<char>(byte) + repeat("2", after) + "}";
                bool good = byte >= '0' && byte <= '9';
                if (after > 0) good = good || byte == '.' || byte == 'e' || byte == 'E';
                if (after == 0)
                    good = good || byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
                const scanned got(text);
                CHECK(got.verdict == (good ? LS_CERTAIN : LS_OPAQUE));
            }
        }
    }
}

// Every byte at every place of a string relative to the steps of eight.
void test_bytes_in_strings() {
    for (int before = 0; before < 18; ++before) {
        for (int after : {0, 1, 7, 8}) {
            for (int byte = 0; byte < 256; ++byte) {
                const std::string text = "{\"from\":\"" + repeat("x", before) +
                                         static_cast<char>(byte) + repeat("y", after) + "\"}";
                // A backslash meets a quote or a y, a lead byte nothing that continues it.
                const bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                const scanned got(text);
                CHECK(got.verdict == (plain ? LS_CERTAIN : LS_OPAQUE));
                if (plain) CHECK(got.envelope.from.size == static_cast<size_t>(before + after + 3));
            }
        }
    }
}

void test_escapes() {
    for (int byte = 0; byte < 256; ++byte) {
        const bool known = byte != 0 && std::strchr("\"\\/bfnrt", byte) != nullptr;
        expect_verdict(std::string("{\"from\":\"\\") + static_cast<char>(byte) + "\"}",
                       known ? LS_CERTAIN : LS_OPAQUE);
        const bool hex = byte != 0 && std::strchr("0123456789abcdefABCDEF", byte) != nullptr;
        for (int place = 0; place < 4; ++place) {
            std::string digits = "12aF";
            digits[static_cast<size_t>(place)] = static_cast<char>(byte);
            expect_verdict("{\"from\":\"\\u" + digits + "\"}", hex ? LS_CERTAIN : LS_OPAQUE);
        }
    }
    for (const char* cut : {"\\", "\\u", "\\u1", "\\u12", "\\u123"}) {
        expect_verdict(std::string("{\"from\":\"") + cut, LS_OPAQUE);
        expect_verdict(std::string("{\"from\":\"") + cut + "\"}", LS_OPAQUE);
    }
    for (const char* good : {"\\u1234", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\\\", "\\\\\\\""})
        expect_payload(std::string("\"") + good + "\"", LS_STRING, LS_TRUTHY, 1);
}

// Whether the bytes are one character of that size beyond ASCII, as RFC 3629 has it.
bool is_character(const unsigned char* byte, int size) {
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const int lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    static const int lead_mask[] = {0, 0, 0xE0, 0xF0, 0xF8};
    if ((byte[0] & lead_mask[size]) != lead[size]) return false;
    long point = byte[0] & ~lead_mask[size];
    for (int i = 1; i < size; ++i) {
        if (byte[i] >> 6 != 2) return false;
        point = point << 6 | (byte[i] & 0x3F);
    }
    return point >= least[size] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
}

bool is_utf8(const unsigned char* byte, int size) {
    for (int place = 0; place < size;) {
        int length = byte[place] < 0x80 ? 1 : 2;
        if (length == 2)
            while (length <= 4 && (place + length > size || !is_character(byte + place, length)))
                ++length;
        if (length > 4) return false;
        place += length;
    }
    return true;
}

void test_utf8() {
    static const unsigned char seconds[] = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                            0xAF, 0xB0, 0xBF, 0xC0, 0xC2, 0xE0, 0xFF};
    static const unsigned char tails[] = {0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
    for (int size = 1; size <= 4; ++size) {
        for (int lead = 0x80; lead < 0x100; ++lead) {
            for (unsigned char second : seconds) {
                for (unsigned char tail : tails) {
                    const unsigned char bytes[] = {static_cast<unsigned char>(lead), second, tail,
                                                   tail};
                    const std::string some(reinterpret_cast<const char*>(bytes),
                                           static_cast<size_t>(size));
                    const int verdict = is_utf8(bytes, size) ? LS_CERTAIN : LS_OPAQUE;
                    expect_verdict("{\"from\":\"" + some + "\"}", verdict);
                    expect_verdict("{\"" + some + "\":[]}", verdict);
                    expect_verdict("{\"from\":\"" + some, LS_OPAQUE);
                }
            }
        }
    }
    // Cut inside a character at the very end of the buffer.
    for (const char* cut : {"\xC3", "\xE6", "\xE6\x97", "\xF0", "\xF0\x9F", "\xF0\x9F\x98"})
        for (int before = 0; before < 9; ++before)
            expect_verdict("{\"from\":\"" + repeat("x", before) + cut, LS_OPAQUE);
    // Outside of strings no such character has a place.
    for (const char* text : {"{\xC2\xA0}",
                             "{\"a\":\xE2\x80\xA8"
                             "1}",
                             "{}\xC2\x85", "\xFF{}"})
        expect_verdict(text, LS_OPAQUE);
}

void test_nesting() {
    for (int inner = 0; inner <= 300; ++inner) {
        const int verdict = inner < LS_MAX_DEPTH ? LS_CERTAIN : LS_OPAQUE;
        expect_verdict("{\"a\":" + repeat("[", inner) + "1" + repeat("]", inner) + "}", verdict);
        expect_verdict("{\"a\":" + repeat("{\"b\":", inner) + "1" + repeat("}", inner) + "}",
                       verdict);
        // Objects and arrays in turn, then one bracket of the wrong kind or one missing.
        if (inner < 2) continue;
        std::string opened, closed;
        for (int i = 0; i < inner; ++i) {
            const bool object = (i * i / 3) % 2 == 0;
            opened += object ? "{\"b\":" : "[";
            closed.insert(0, object ? "}" : "]");
        }
        expect_verdict("{\"a\":" + opened + "1" + closed + "}", verdict);
        expect_verdict("{\"a\":" + opened + "1" + closed, LS_OPAQUE);
        expect_verdict("{\"a\":" + opened + "1" + closed + "}}", LS_OPAQUE);
        const size_t place = static_cast<size_t>(inner) / 2;
        closed[place] = closed[place] == '}' ? ']' : '}';
        expect_verdict("{\"a\":" + opened + "1" + closed + "}", LS_OPAQUE);
    }
    expect_verdict("{\"a\":" + repeat("[", 100000), LS_OPAQUE);
}

void test_large() {
    const std::string text(1 << 20, 'a');
    expect_payload("\"" + text + "\"", LS_STRING, LS_TRUTHY);
    expect_payload("\"" + text + "\\n\"", LS_STRING, LS_TRUTHY, 1);
    expect_payload("[" + repeat("0.12345678901234567, ", 50000) + "1]", LS_ARRAY, LS_TRUTHY);
    expect_verdict("{\"payload\":\"" + text + "\n\"}", LS_OPAQUE);
    expect_verdict("{\"payload\":\"" + text, LS_OPAQUE);
}

} // namespace

int main() {
    test_request();
    test_cut_and_continued();
    test_nothing();
    test_structure();
    test_members();
    test_nearly_members();
    test_escaped_keys();
    test_kinds_and_truth();
    test_numbers();
    test_bytes_in_numbers();
    test_bytes_in_strings();
    test_escapes();
    test_utf8();
    test_nesting();
    test_large();
    std::printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
