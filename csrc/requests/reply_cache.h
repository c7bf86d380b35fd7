// Requests answered before, for the next one alike: the same client sends the same bytes again
// and again. What the scan and the table said of them is kept, and the reply; the reply's bytes
// are shared with the transport, not copied.
#ifndef LAPLACE_REPLY_CACHE_H
#define LAPLACE_REPLY_CACHE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include "requests/dispatch.h"
#include "documents/documents.h"
#include "transport/message.h"

namespace laplace {

struct CachedReply;

// What the scan and the table say of a request. The texts are those of its body, or of the
// cached one; they hold until the next request is kept.
struct Request {
    std::string_view body;
    const Command* command = nullptr;
    Role role = anonymous_role;  // of who asks
    int verdict = LS_OPAQUE;
    ls_envelope envelope{};
    bool one_frame = true;
    CachedReply* cached = nullptr;

    // Whether it is certain that the role does not permit it. What only Python can tell, Python refuses.
    bool denied() const noexcept { return command != nullptr && !includes(command->roles, role); }
    Action action() const noexcept {
        if (command == nullptr) return Action::python;
        return includes(command->roles, role) ? command->action : Action::denied;
    }
};

struct CachedReply {
    std::string body;  // empty: nothing kept
    uint64_t number = 0;  // no other request has had it
    Request request;
    bool has_reply = false;
    Text text;           // what the reply tells
    uint64_t state = 0;  // of the document that it was read from
    Message reply;

    bool is_of(std::string_view asked, Role role) const noexcept { return request.role == role && body == asked; }
    bool tells(const Text& wanted) const noexcept { return has_reply && text == wanted; }
};

class ReplyCache {
public:
    // Larger requests are not looked for, larger replies not kept: that would double the memory
    // which the data needs.
    static constexpr size_t largest_request = 512;
    static constexpr size_t largest_reply = 256 * 1024;

    ReplyCache() noexcept = default;
    ReplyCache(const ReplyCache&) = delete;
    ReplyCache& operator=(const ReplyCache&) = delete;

    // What is remembered of one role is never told to another.
    CachedReply* find(std::string_view body, Role role) noexcept {
        if (body.empty() || body.size() > largest_request) return nullptr;
        if (found_->is_of(body, role)) return found_;  // the same once more
        CachedReply& entry = place_of(body, role);
        if (!entry.is_of(body, role)) return nullptr;
        found_ = &entry;
        return &entry;
    }

    // From now on a request like this one, which is not kept yet, is answered so.
    void keep(const Request& request, const Content& content, const Message& reply) noexcept {
        const std::string_view body = request.body;
        if (body.empty() || body.size() > largest_request || reply.size() > largest_reply) return;
        CachedReply& entry = place_of(body, request.role);
        entry.body.clear();
        renew(entry, content, reply);
        try {
            entry.body = body;
        } catch (const std::bad_alloc&) {
            return;
        }
        entry.number = ++last_number_;
        entry.request = request;
        entry.request.body = entry.body;
        entry.request.cached = &entry;
        ls_envelope& envelope = entry.request.envelope;
        for (ls_value* value : {&envelope.version, &envelope.cmd, &envelope.from, &envelope.payload}) {
            if (value->text != nullptr) value->text = entry.body.data() + (value->text - body.data());
        }
    }

    // The reply to a request that is kept has changed.
    static void renew(CachedReply& entry, const Content& content, const Message& reply) noexcept {
        entry.has_reply = reply.size() <= largest_reply;
        entry.text = entry.has_reply ? content.text : nullptr;
        entry.state = content.state;
        entry.reply = entry.has_reply ? reply.share() : Message();
    }

    // The table is about to change.
    void clear() noexcept {
        for (CachedReply& entry : entries_) entry.body.clear();
    }

private:
    CachedReply& place_of(std::string_view body, Role role) noexcept {
        // Multiplying by 2^64 over the golden ratio spreads every bit to the top ones.
        uint64_t sum = body.size() + (uint64_t{role} << 32), word = 0;
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

    std::array<CachedReply, 16> entries_;
    CachedReply* found_ = entries_.data();  // last
    uint64_t last_number_ = 0;
};

}  // namespace laplace

#endif
