#include "requests/scan.h"

#include <cstddef>
#include <cstring>

// Every scan_*() below takes the place to start and the end of the buffer, and returns the place
// behind what it has read, or nullptr if the text is not what it should be.

namespace {

using uchar = unsigned char;

// --- Eight bytes at a time -------------------------------------------------------------------

constexpr std::ptrdiff_t word_size = 8;
constexpr uint64_t each_byte = 0x0101010101010101u;
constexpr uint64_t high_bits = 0x8080808080808080u;

// The first byte is the lowest one of the word, on any machine.
inline uint64_t load_word(const uchar* p) {
    uint64_t word;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = 0;
    for (int i = 0; i < word_size; ++i) word |= static_cast<uint64_t>(p[i]) << (8 * i);
#else
    std::memcpy(&word, p, sizeof word);
#endif
    return word;
}

// Index of the first byte marked by its high bit; there must be one. The bits below that mark
// hold the lowest bits of `index + 1` bytes, and the multiplication counts them.
inline std::ptrdiff_t first_mark(uint64_t marks) {
    const uint64_t below = (marks & (~marks + 1)) - 1;
    return static_cast<std::ptrdiff_t>(((below & each_byte) * each_byte) >> 56) - 1;
}

// Marks quotes, backslashes, control characters and what is not ASCII. A borrow can mark a byte
// behind a marked one wrongly, so only the first mark means something.
inline uint64_t mark_string_stops(uint64_t word) {
    const uint64_t quote = (word ^ (each_byte * '"')) - each_byte;
    const uint64_t backslash = (word ^ (each_byte * '\\')) - each_byte;
    const uint64_t control = word - each_byte * 0x20;
    return (quote | backslash | control | word) & high_bits;
}

// Marks what is not 0 to 9. Exact for every byte: no sum reaches its neighbour.
inline uint64_t mark_non_digits(uint64_t word) {
    const uint64_t value = word ^ (each_byte * '0');
    return (((value & ~high_bits) + each_byte * (0x80 - 10)) | value) & high_bits;
}

// --- Characters ------------------------------------------------------------------------------

enum : uint8_t { SPACE = 1, DIGIT = 2, HEX = 4, ESCAPE = 8, PLAIN = 16 };

struct char_classes {
    uint8_t of[256];
};

constexpr char_classes make_classes() {
    char_classes table{};
    for (int c = 0; c < 256; ++c) {
        int bits = 0;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') bits |= SPACE;
        if (c >= '0' && c <= '9') bits |= DIGIT | HEX;
        if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= HEX;
        if (c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
            c == 't')
            bits |= ESCAPE;
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') bits |= PLAIN;
        table.of[c] = static_cast<uint8_t>(bits);
    }
    return table;
}

constexpr char_classes classes = make_classes();

inline bool is(uchar c, uint8_t char_class) { return (classes.of[c] & char_class) != 0; }

inline const uchar* skip_space(const uchar* p, const uchar* end) {
    while (p != end && is(*p, SPACE)) ++p;
    return p;
}

inline const uchar* skip_digits(const uchar* p, const uchar* end) {
    for (; end - p >= word_size; p += word_size) {
        const uint64_t marks = mark_non_digits(load_word(p));
        if (marks != 0) return p + first_mark(marks);
    }
    while (p != end && is(*p, DIGIT)) ++p;
    return p;
}

// Stops at the first character of a string that needs a look.
inline const uchar* skip_plain(const uchar* p, const uchar* end) {
    for (; end - p >= word_size; p += word_size) {
        const uint64_t marks = mark_string_stops(load_word(p));
        if (marks != 0) return p + first_mark(marks);
    }
    while (p != end && is(*p, PLAIN)) ++p;
    return p;
}

// --- Scalars ---------------------------------------------------------------------------------

inline bool continues(uchar c) { return (c & 0xC0) == 0x80; }

// One character beyond ASCII, by the table of RFC 3629: no overlong forms, no surrogates, nothing
// above U+10FFFF. Only the second byte's range depends on the first.
const uchar* scan_utf8(const uchar* p, const uchar* end) {
    const uchar lead = *p;
    const std::ptrdiff_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || end - p < length) return nullptr;
    const uchar low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uchar high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return nullptr;
    if (length > 2 && !continues(p[2])) return nullptr;
    if (length > 3 && !continues(p[3])) return nullptr;
    return p + length;
}

// What follows a backslash. Lone surrogates (\ud800) are well formed here, as for json.loads.
const uchar* scan_escape(const uchar* p, const uchar* end) {
    if (p == end) return nullptr;
    if (is(*p, ESCAPE)) return p + 1;
    if (*p != 'u' || end - p < 5) return nullptr;
    for (int i = 1; i <= 4; ++i)
        if (!is(p[i], HEX)) return nullptr;
    return p + 5;
}

// From behind the opening quote to behind the closing one; sets `escaped` at a backslash.
inline const uchar* scan_string(const uchar* p, const uchar* end, bool& escaped) {
    for (;;) {
        p = skip_plain(p, end);
        if (p == end) return nullptr;
        if (*p == '"') return p + 1;
        if (*p == '\\') {
            escaped = true;
            p = scan_escape(p + 1, end);
            if (p == nullptr) return nullptr;
        } else {
            if (*p < 0x20) return nullptr;
            // Text that is not ASCII mostly goes on like that.
            do {
                p = scan_utf8(p, end);
                if (p == nullptr) return nullptr;
            } while (p != end && *p >= 0x80);
        }
    }
}

// Also nullptr for an integer too long to be sure of; floats may have any length.
inline const uchar* scan_number(const uchar* p, const uchar* end) {
    if (*p == '-') ++p;
    const uchar* digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) return nullptr;
    const bool long_integer = p - digits > LS_MAX_INTEGER_DIGITS;
    bool integer = true;
    if (p != end && *p == '.') {
        integer = false;
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) return nullptr;
    }
    if (p != end && (*p == 'e' || *p == 'E')) {
        integer = false;
        ++p;
        if (p != end && (*p == '+' || *p == '-')) ++p;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) return nullptr;
    }
    return integer && long_integer ? nullptr : p;
}

const uchar* scan_word(const uchar* p, const uchar* end, const char* word, std::ptrdiff_t length) {
    if (end - p < length) return nullptr;
    return std::memcmp(p, word, static_cast<size_t>(length)) == 0 ? p + length : nullptr;
}

// Up to this length, and without an exponent, a number other than 0 cannot round to 0.0.
constexpr std::ptrdiff_t max_judged_number = 20;

ls_truth number_truth(const uchar* p, const uchar* end) {
    if (end - p > max_judged_number) return LS_TRUTH_UNKNOWN;
    ls_truth truth = LS_FALSY;
    for (; p != end; ++p) {
        if (*p == 'e' || *p == 'E') return LS_TRUTH_UNKNOWN;
        if (*p >= '1' && *p <= '9') truth = LS_TRUTHY;
    }
    return truth;
}

// --- Structure -------------------------------------------------------------------------------

// One bit for each open container: 1 is an object, 0 an array.
class bit_stack {
public:
    int depth() const { return depth_; }
    bool in_object() const { return in_object_; }

    bool push(bool object) {
        if (depth_ == LS_MAX_DEPTH) return false;
        const uint64_t bit = uint64_t{1} << (depth_ % 64);
        uint64_t& word = words_[depth_ / 64];
        word = object ? word | bit : word & ~bit;
        ++depth_;
        in_object_ = object;
        return true;
    }

    void pop() {
        --depth_;
        const int top = depth_ - 1;
        in_object_ = depth_ > 0 && ((words_[top / 64] >> (top % 64)) & 1) != 0;
    }

private:
    uint64_t words_[LS_MAX_DEPTH / 64] = {};
    int depth_ = 0;
    bool in_object_ = false;
};

// The member of that name, or nullptr for a key nobody asks for.
inline ls_value* find_member(ls_envelope& envelope, const uchar* key, std::ptrdiff_t size) {
    switch (size) {
    case 3:
        return std::memcmp(key, "cmd", 3) == 0 ? &envelope.cmd : nullptr;
    case 4:
        return std::memcmp(key, "from", 4) == 0 ? &envelope.from : nullptr;
    case 7:
        if (std::memcmp(key, "version", 7) == 0) return &envelope.version;
        return std::memcmp(key, "payload", 7) == 0 ? &envelope.payload : nullptr;
    default:
        return nullptr;
    }
}

// Each turn of the outer loop reads one member or element; each turn of the inner loop ends the
// value just read and then any containers that close behind it.
int scan(const uchar* p, const uchar* end, ls_envelope& envelope) {
    p = skip_space(p, end);
    if (p == end || *p != '{') return LS_OPAQUE;

    bit_stack open;
    bool certain = true;
    ls_value* member = nullptr;   // where the value of the present top-level key goes, if anywhere
    const uchar* start = nullptr; // where that value begins

    for (;;) {
        p = skip_space(p, end);
        if (p == end) return LS_OPAQUE;

        if (open.in_object()) {
            if (*p != '"') return LS_OPAQUE;
            const uchar* key = p + 1;
            bool escaped = false;
            p = scan_string(key, end, escaped);
            if (p == nullptr) return LS_OPAQUE;
            if (open.depth() == 1) {
                if (escaped) certain = false;
                member = find_member(envelope, key, p - 1 - key);
            }
            p = skip_space(p, end);
            if (p == end || *p != ':') return LS_OPAQUE;
            p = skip_space(p + 1, end);
            if (p == end) return LS_OPAQUE;
        }

        if (open.depth() == 1) start = p;
        ls_kind kind;
        ls_truth truth = LS_TRUTHY;
        bool escaped = false;
        switch (*p) {
        case '{':
        case '[': {
            const bool object = *p == '{';
            if (!open.push(object)) return LS_OPAQUE;
            p = skip_space(p + 1, end);
            if (p == end) return LS_OPAQUE;
            if (*p != (object ? '}' : ']')) continue;
            open.pop();
            ++p;
            kind = object ? LS_OBJECT : LS_ARRAY;
            truth = LS_FALSY;
            break;
        }
        case '"': {
            const uchar* quote = p;
            p = scan_string(p + 1, end, escaped);
            kind = LS_STRING;
            if (p == quote + 2) truth = LS_FALSY;
            break;
        }
        case 't':
            p = scan_word(p, end, "true", 4);
            kind = LS_TRUE;
            break;
        case 'f':
            p = scan_word(p, end, "false", 5);
            kind = LS_FALSE;
            truth = LS_FALSY;
            break;
        case 'n':
            p = scan_word(p, end, "null", 4);
            kind = LS_NULL;
            truth = LS_FALSY;
            break;
        default:
            p = scan_number(p, end); // refuses what does not begin a value at all
            kind = LS_NUMBER;
            break;
        }
        if (p == nullptr) return LS_OPAQUE;

        for (;;) {
            if (open.depth() == 1 && member != nullptr) {
                member->text = reinterpret_cast<const char*>(start);
                member->size = static_cast<size_t>(p - start);
                if (kind == LS_NUMBER) truth = number_truth(start, p);
                member->kind = static_cast<uint8_t>(kind);
                member->truth = static_cast<uint8_t>(truth);
                member->escaped = escaped ? 1 : 0;
            }
            p = skip_space(p, end);
            if (open.depth() == 0) {
                if (p != end) return LS_OPAQUE;
                return certain ? LS_CERTAIN : LS_STRICT;
            }
            if (p == end) return LS_OPAQUE;
            if (*p == ',') {
                ++p;
                break;
            }
            if (*p != (open.in_object() ? '}' : ']')) return LS_OPAQUE;
            ++p;
            kind = open.in_object() ? LS_OBJECT : LS_ARRAY;
            truth = LS_TRUTHY;
            escaped = false;
            open.pop();
        }
    }
}

} // namespace

extern "C" int ls_scan(const char* data, size_t size, ls_envelope* out) noexcept {
    *out = ls_envelope{};
    const uchar* begin = reinterpret_cast<const uchar*>(data);
    const int verdict = scan(begin, begin + size, *out);
    if (verdict != LS_CERTAIN) *out = ls_envelope{};
    return verdict;
}
