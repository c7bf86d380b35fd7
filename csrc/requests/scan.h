/* The envelope scanner: finds `version`, `cmd`, `from` and `payload` in a request.
 *
 * It allocates nothing, never recurses, keeps no state and knows nothing of Python, so the
 * loop may call it without the GIL. It only claims what it is sure of: what it calls certain
 * is what Python's json.loads(data.decode("utf8")) would give.
 */
#ifndef LAPLACE_SERVER_SCAN_H
#define LAPLACE_SERVER_SCAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define LS_NOEXCEPT noexcept
extern "C" {
#else
#define LS_NOEXCEPT
#endif

enum ls_limit {
    LS_MAX_DEPTH = 256,        /* open objects and arrays, the envelope itself included */
    LS_MAX_INTEGER_DIGITS = 18 /* always fits 64 bits; longer ones are json.loads' business */
};

enum ls_kind { LS_ABSENT, LS_NULL, LS_FALSE, LS_TRUE, LS_NUMBER, LS_STRING, LS_ARRAY, LS_OBJECT };

/* bool() of the value that json.loads would give. */
enum ls_truth {
    LS_FALSY,
    LS_TRUTHY,
    LS_TRUTH_UNKNOWN /* numbers with an exponent or many digits: 1e-400 is 0.0 */
};

enum ls_verdict {
    /* Only json.loads can decide: not an object, broken JSON or UTF-8, NaN and Infinity,
     * integers beyond LS_MAX_INTEGER_DIGITS, nesting beyond LS_MAX_DEPTH. */
    LS_OPAQUE = 0,
    /* RFC 8259 and UTF-8, an object, within the limits: a strict decoder may take it, but a
     * top-level key holds an escape, so the members are not known. */
    LS_STRICT = 1,
    /* Strict, and the members are known. */
    LS_CERTAIN = 2
};

typedef struct {
    const char* text; /* the value's JSON text inside the caller's buffer, quotes included */
    size_t size;      /* bytes */
    uint8_t kind;     /* enum ls_kind */
    uint8_t truth;    /* enum ls_truth */
    uint8_t escaped;  /* 1: a string with a backslash, so text differs from the value */
} ls_value;

typedef struct {
    ls_value version, cmd, from, payload;
} ls_envelope;

/* Scan `size` bytes at `data` and return an ls_verdict. `out` must not be null; unless the
 * verdict is LS_CERTAIN all its members are zeroed (LS_ABSENT). A key that occurs several times
 * counts with its last value. The texts in `out` are valid as long as `data` is. */
int ls_scan(const char* data, size_t size, ls_envelope* out) LS_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
