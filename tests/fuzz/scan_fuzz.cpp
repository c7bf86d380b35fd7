// Fuzz target of the envelope scanner: each input is also read by a slow, plain second reader, and
// every answer must be the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "requests/scan.h"
#include "fuzz/engine.h"

namespace {

// --- The second reader: recursive, byte by byte, sharing nothing with the scanner ------------

struct reading {
    std::string text;
    size_t at = 0;
    int depth = 0;
    bool escaped_key = false;
    ls_envelope envelope{};

    bool byte_is(const char* set) const {
        return at < text.size() && text[at] != '\0' && std::strchr(set, text[at]) != nullptr;
    }
    bool take(const char* set) {
        if (!byte_is(set)) return false;
        ++at;
        return true;
    }
    void space() {
        while (take(" \t\n\r")) {
        }
    }
    bool digits() {
        if (!take("0123456789")) return false;
        while (take("0123456789")) {
        }
        return true;
    }
    bool word(const char* expected) {
        if (text.compare(at, std::strlen(expected), expected) != 0) return false;
        at += std::strlen(expected);
        return true;
    }

    bool number() {
        take("-");
        const size_t first = at;
        if (!take("0") && !digits()) return false;
        const size_t whole = at - first;
        bool integer = true;
        if (take(".")) {
            integer = false;
            if (!digits()) return false;
        }
        if (take("eE")) {
            integer = false;
            take("+-");
            if (!digits()) return false;
        }
        return !integer || whole <= 18;
    }

    bool character() {
        static const long least[] = {0, 0x80, 0x800, 0x10000};
        const unsigned lead = static_cast<unsigned char>(text[at]);
        const unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
        if (more == 0 || lead >= 0xF8 || text.size() - at <= more) return false;
        long point = lead & (0x3Fu >> more);
        for (unsigned i = 1; i <= more; ++i) {
            const unsigned next = static_cast<unsigned char>(text[at + i]);
            if (next < 0x80 || next >= 0xC0) return false;
            point = point * 64 + static_cast<long>(next - 0x80);
        }
        at += more + 1;
        return point >= least[more] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
    }

    bool string(bool& escaped) {
        if (!take("\"")) return false;
        while (!take("\"")) {
            if (at == text.size() || static_cast<unsigned char>(text[at]) < 0x20) return false;
            if (static_cast<unsigned char>(text[at]) >= 0x80) {
                if (!character()) return false;
            } else if (take("\\")) {
                escaped = true;
                if (take("u")) {
                    for (int i = 0; i < 4; ++i)
                        if (!take("0123456789abcdefABCDEF")) return false;
                } else if (!take("\"\\/bfnrt")) {
                    return false;
                }
            } else {
                ++at;
            }
        }
        return true;
    }

    // Everything between the brackets, which must not be empty.
    bool items(bool object) {
        for (;;) {
            ls_value* member = nullptr;
            if (object) {
                space();
                const size_t key = at;
                bool escaped = false;
                if (!string(escaped)) return false;
                if (depth == 1) {
                    escaped_key = escaped_key || escaped;
                    const std::string name = text.substr(key, at - key);
                    if (name == "\"version\"") member = &envelope.version;
                    if (name == "\"cmd\"") member = &envelope.cmd;
                    if (name == "\"from\"") member = &envelope.from;
                    if (name == "\"payload\"") member = &envelope.payload;
                }
                space();
                if (!take(":")) return false;
            }
            ls_value found{};
            if (!value(found)) return false;
            if (member != nullptr) *member = found;
            if (!take(",")) return true;
        }
    }

    bool container(ls_value& found, bool object) {
        ++at;
        if (++depth > 256) return false;
        space();
        found.truth = byte_is(object ? "}" : "]") ? LS_FALSY : LS_TRUTHY;
        if (found.truth == LS_TRUTHY && !items(object)) return false;
        --depth;
        return take(object ? "}" : "]");
    }

    bool value(ls_value& found) {
        space();
        const size_t first = at;
        bool good = false;
        bool escaped = false;
        if (byte_is("{")) {
            found.kind = LS_OBJECT;
            good = container(found, true);
        } else if (byte_is("[")) {
            found.kind = LS_ARRAY;
            good = container(found, false);
        } else if (byte_is("\"")) {
            found.kind = LS_STRING;
            good = string(escaped);
            found.truth = at - first > 2 ? LS_TRUTHY : LS_FALSY;
        } else if (byte_is("t")) {
            found.kind = LS_TRUE;
            good = word("true");
            found.truth = LS_TRUTHY;
        } else if (byte_is("f")) {
            found.kind = LS_FALSE;
            good = word("false");
        } else if (byte_is("n")) {
            found.kind = LS_NULL;
            good = word("null");
        } else {
            found.kind = LS_NUMBER;
            good = number();
            const std::string digits = text.substr(first, at - first);
            const bool sure =
                digits.size() <= 20 && digits.find_first_of("eE") == std::string::npos;
            if (good && !sure) found.truth = LS_TRUTH_UNKNOWN;
            if (good && sure)
                found.truth = std::strtod(digits.c_str(), nullptr) != 0 ? LS_TRUTHY : LS_FALSY;
        }
        if (!good) return false;
        found.text = text.data() + first;
        found.size = at - first;
        found.escaped = escaped ? 1 : 0;
        space();
        return true;
    }

    int verdict() {
        space();
        ls_value whole{};
        const bool good = byte_is("{") && value(whole) && at == text.size();
        if (good && !escaped_key) return LS_CERTAIN;
        envelope = ls_envelope{};
        return good ? LS_STRICT : LS_OPAQUE;
    }
};

// --- What must hold -------------------------------------------------------------------------

using fuzz_engine::require;

// Scans a heap copy of exactly that size, so that AddressSanitizer sees any overread.
int verdict_of(const std::string& text, ls_envelope& out) {
    const std::vector<char> exact(text.begin(), text.end());
    return ls_scan(exact.data(), exact.size(), &out);
}

int verdict_of(const std::string& text) {
    ls_envelope ignored;
    return verdict_of(text, ignored);
}

bool agree(const ls_value& got, const char* got_base, const ls_value& want, const char* want_base) {
    if (got.kind != want.kind || got.truth != want.truth || got.escaped != want.escaped ||
        got.size != want.size)
        return false;
    if (want.kind == LS_ABSENT) return got.text == nullptr;
    return got.text - got_base == want.text - want_base;
}

void check_input(const char* data, size_t size) {
    ls_envelope got;
    std::memset(static_cast<void*>(&got), 0xA5, sizeof got);
    const int verdict = ls_scan(data, size, &got);

    reading second;
    second.text.assign(data, size);
    require(verdict == second.verdict(), "the two readers' verdicts differ");
    const ls_value* members[] = {&got.version, &got.cmd, &got.from, &got.payload};
    const ls_value* wanted[] = {&second.envelope.version, &second.envelope.cmd,
                                &second.envelope.from, &second.envelope.payload};
    for (int i = 0; i < 4; ++i) {
        const ls_value& member = *members[i];
        require(agree(member, data, *wanted[i], second.text.data()), "a member differs");
        if (member.kind == LS_ABSENT) continue;
        require(member.text > data && member.text + member.size < data + size,
                "a member reaches out of the input");
        // The same text alone says the same.
        ls_envelope alone;
        const std::string text(member.text, member.size);
        require(verdict_of("{\"payload\":" + text + "}", alone) == LS_CERTAIN &&
                    alone.payload.kind == member.kind && alone.payload.truth == member.truth &&
                    alone.payload.escaped == member.escaped && alone.payload.size == member.size,
                "a member read alone differs");
    }

    // Space around changes nothing; anything else behind a whole object is wrong, and so is an
    // object without its end.
    const std::string& text = second.text;
    require(verdict_of("\n " + text) == verdict, "space before matters");
    require(verdict_of(text + "\t ") == verdict, "space behind matters");
    if (verdict == LS_OPAQUE) return;
    for (const char* more : {"x", "}", ",", "{}", "\"", "\x80"})
        require(verdict_of(text + more) == LS_OPAQUE, "more behind is taken");
    const size_t brace = text.find_last_of('}');
    const size_t step = 1 + brace / 64;
    for (size_t cut = brace % step; cut <= brace; cut += step)
        require(verdict_of(text.substr(0, cut)) == LS_OPAQUE, "a part is taken");
}

bool is_certain(const char* data, size_t size) {
    check_input(data, size);
    return verdict_of(std::string(data, size)) == LS_CERTAIN;
}

} // namespace

fuzz_engine::Target fuzz_engine::target() {
    return {is_certain,
               "certain",
               {"\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "0", "9", "-", ".", "e", "E+", "1e-400",
             "123456789012345678", "true", "false", "null", "NaN", "\\u", "\\u0041", "\\ud800", "\\n", "\"cmd\":",
             "\"from\":", "\"version\":", "\"payload\":", "\"c\\u006dd\":", "{}", "[]", "\"\"", "{\"a\":", "[[[[[[[[",
             "]]]]]]]]", "abcdefgh", "\xC3\xA9", "\xE6\x97\xA5", "\xF0\x9F\x98\x80", "\xED\xA0\x80", "\xC0\x80",
             "\xF4\x90\x80\x80", "\xEF\xBB\xBF", "\x7F", "\x1F", "\x80", "\xFF"},
            {"{\"from\": \"me\", \"to\": \"x\", \"cmd\": \"GET\", \"payload\": {}, \"version\": \"0.2.2\"}",
             "{\"cmd\":[1.5,-0,true,{\"a\":null}],\"cmd\":\"\\u00e9 \xC3\xA9\",\"payload\":12e-3}"}};
}
