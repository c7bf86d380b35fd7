// Requests answered before, for the next one alike: the same client sends the same bytes again
// and again. What the scan and the table said of them is kept, and the reply; the reply's bytes
// are shared with libzmq, not copied.
#ifndef LAPLACE_REPEATS_H
#define LAPLACE_REPEATS_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include "dispatch.h"
#include "documents.h"
#include "message.h"

namespace laplace {

struct Repeat;

// What the scan and the table say of a request. The texts are those of its body, or of the
// repeat it is; they hold until the next request is kept.
struct Request {
    std::string_view body;
    const Command* command = nullptr;
    int verdict = LS_OPAQUE;
    ls_envelope envelope{};
    bool one_frame = true;
    Repeat* repeat = nullptr;
};

struct Repeat {
    std::string body;  // empty: nothing kept
    Request request;
    bool has_reply = false;
    Text text;  // what the reply tells
    Message reply;

    bool tells(const Text& wanted) const noexcept { return has_reply && text == wanted; }
};

class Repeats {
public:
    // Larger requests are not looked for, larger replies not kept: that would double the memory
    // which the data needs.
    static constexpr size_t largest_request = 512;
    static constexpr size_t largest_reply = 256 * 1024;

    Repeat* find(std::string_view body) noexcept {
        if (body.empty() || body.size() > largest_request) return nullptr;
        Repeat& entry = place_of(body);
        return entry.body == body ? &entry : nullptr;
    }

    // From now on a request like this one, which is not kept yet, is answered so.
    void keep(const Request& request, const Text& text, Message& reply) noexcept {
        const std::string_view body = request.body;
        if (body.empty() || body.size() > largest_request || reply.size() > largest_reply) return;
        Repeat& entry = place_of(body);
        entry.body.clear();
        if (!renew(entry, text, reply)) return;
        try {
            entry.body = body;
        } catch (const std::bad_alloc&) {
            return;
        }
        entry.request = request;
        entry.request.body = entry.body;
        entry.request.repeat = &entry;
        ls_envelope& envelope = entry.request.envelope;
        for (ls_value* value : {&envelope.version, &envelope.cmd, &envelope.from, &envelope.payload}) {
            if (value->text != nullptr) value->text = entry.body.data() + (value->text - body.data());
        }
    }

    // The reply to a request that is kept has changed.
    static bool renew(Repeat& entry, const Text& text, Message& reply) noexcept {
        entry.has_reply = reply.size() <= largest_reply && entry.reply.share(reply);
        entry.text = entry.has_reply ? text : nullptr;
        if (!entry.has_reply) entry.reply = Message();
        return entry.has_reply;
    }

    // The table is about to change.
    void clear() noexcept {
        for (Repeat& entry : entries_) entry.body.clear();
    }

private:
    Repeat& place_of(std::string_view body) noexcept {
        // Multiplying by 2^64 over the golden ratio spreads every bit to the top ones.
        uint64_t sum = body.size(), word = 0;
        size_t at = 0;
        for (; at + sizeof word <= body.size(); at += sizeof word) {
            std::memcpy(&word, body.data() + at, sizeof word);
            sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        }
        word = 0;
        std::memcpy(&word, body.data() + at, body.size() - at);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        return entries_[(sum >> 60) % entries_.size()];
    }

    std::array<Repeat, 16> entries_;
};

}  // namespace laplace

#endif
