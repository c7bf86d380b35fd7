#include "streams/stream_sender.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/clock.h"

namespace laplace {

namespace {

constexpr uint64_t alive_ns = 1000 * ns_per_ms;  // between two words to a subscriber
constexpr unsigned most_unanswered = 8;          // of those, until it counts as silent
constexpr uint64_t rare_alive_ns = 10 * alive_ns;  // then they tell whether its connection is there
constexpr size_t most_waiting = 256 * 1024;  // bytes on their way: history and credit do better than a queue
constexpr int messages_in_turn = 4;      // to one subscriber, before the others and the requests
constexpr size_t longest_route = 4096;   // bytes; a subscription keeps it
constexpr size_t most_looked_through = 64;  // subscribers, by a publisher's thread
constexpr uint32_t many = 16, very_many = 64;  // updates in a message

// Where a message held dozens of updates, the loop rests after it, so that the next holds more still:
// their number is what costs, here, on the wire and at the other end.
std::chrono::microseconds rest_after(uint32_t updates) noexcept {
    return std::chrono::microseconds(updates < many ? 0 : updates < very_many ? 100 : 250);
}

// A subscription is its peer's, so the peer must not number its requests in a routing frame.
std::string key_of(const Connection& connection, std::string_view route, uint32_t subscription) {
    std::string key;
    route_key(connection, route, key);
    return key.append(reinterpret_cast<const char*>(&subscription), sizeof subscription);
}

}  // namespace

StreamSender::StreamSender(Router& router, Streams& streams, uint64_t epoch, int silence_ms, size_t most_of_one)
    : router_(router),
      streams_(streams),
      epoch_(epoch),
      silence_ns_(ns_of_ms(silence_ms)),
      most_of_one_(most_of_one) {}

// ---- subscribers

bool StreamSender::take_control(Received& message) {
    StreamControl control;
    if (!message.one_frame || !is_stream_control(message.body, control)) return false;
    const auto found = subscribers_.find(key_of(*message.connection, message.route, control.subscription));
    if (found == subscribers_.end()) {
        if (control.kind == StreamKind::leave) return true;
        Subscriber stranger;
        stranger.grant.id = control.subscription;
        stranger.route = message.keep_route();
        tell(stranger, StreamKind::unknown, message.arrived);
        return true;
    }
    if (control.kind == StreamKind::leave) {
        forget(found);
        return true;
    }
    Subscriber& subscriber = found->second;
    subscriber.unanswered = 0;
    subscriber.active = message.arrived;
    Ledger& ledger = *subscriber.grant.ledger;
    ledger.allowed_messages.store(control.messages, std::memory_order_relaxed);
    ledger.allowed_bytes.store(control.bytes, std::memory_order_relaxed);
    ledger.confirmed.store(control.next, std::memory_order_relaxed);
    ledger.silent.store(false, std::memory_order_relaxed);
    can_send_ = true;
    return true;
}

Begun StreamSender::subscribe(const Route& route, const Grant& grant, uint64_t now) {
    if (route.frames.size() > longest_route) return Begun::route_too_long;
    Connection& connection = *route.connection;
    Subscriber subscriber;
    subscriber.route = route;
    subscriber.grant = grant;
    subscriber.grant.place.reset();
    subscriber.told = subscriber.active = now;  // by the reply
    std::string key = key_of(connection, route.frames, grant.id);
    if (subscribers_.count(key) == 0) {
        const bool too_many = connection.holdings.subscriptions >= most_of_one_;
        if (too_many && !forget_most_silent(&connection, now)) return Begun::too_many;
        if (subscribers_.size() >= max_subscriptions) forget_most_silent(nullptr, now);
    }
    grant.ledger->host = connection.peer_host();
    grant.ledger->key = connection.key();
    streams_.enter(grant);
    try {
        const auto [placed, is_new] = subscribers_.try_emplace(std::move(key));
        if (!is_new) leave(placed->second);
        placed->second = std::move(subscriber);
        ++connection.holdings.subscriptions;
    } catch (const std::bad_alloc&) {
        streams_.leave(grant);
        throw;
    }
    can_send_ = true;
    return Begun::yes;
}

void StreamSender::leave(const Subscriber& subscriber) noexcept {
    streams_.leave(subscriber.grant);
    --subscriber.route.connection->holdings.subscriptions;
}

StreamSender::Subscribers::iterator StreamSender::forget(Subscribers::iterator subscriber) noexcept {
    leave(subscriber->second);
    return subscribers_.erase(subscriber);
}

bool StreamSender::is_waited_for(const Subscriber& subscriber) const noexcept {
    return subscriber.grant.ledger->waited_for.load(std::memory_order_relaxed) && subscriber.grant.stream->blocks();
}

bool StreamSender::forget_most_silent(const Connection* of, uint64_t now) {
    const auto rank = [this](const Subscriber& subscriber) {
        return std::pair(is_waited_for(subscriber), subscriber.active);
    };
    auto found = subscribers_.end();
    for (auto each = subscribers_.begin(); each != subscribers_.end(); ++each) {
        if (of != nullptr && each->second.route.connection.get() != of) continue;
        if (!each->second.grant.ledger->silent.load(std::memory_order_relaxed)) continue;
        if (found == subscribers_.end() || rank(each->second) < rank(found->second)) found = each;
    }
    if (found == subscribers_.end()) return false;
    give_up(found, now);
    return true;
}

// Who can be sent nothing and says nothing may be dead behind a proxy. Where publishers wait for it,
// they say how long.
bool StreamSender::has_been_silent(const Subscriber& subscriber, uint64_t now) const noexcept {
    return subscriber.blocked && now - subscriber.active >= silence_ns_ && !is_waited_for(subscriber);
}

// Forgets it, and tells it: if it lives, it subscribes again.
StreamSender::Subscribers::iterator StreamSender::give_up(Subscribers::iterator subscriber, uint64_t now) {
    Subscriber given_up = std::move(subscriber->second);
    const auto next = subscribers_.erase(subscriber);
    leave(given_up);
    tell(given_up, StreamKind::unknown, now);
    return next;
}

void StreamSender::give_up_roles(Roles roles, uint64_t now) noexcept {
    for (auto each = subscribers_.begin(); each != subscribers_.end();) {
        if (!includes(roles, each->second.route.connection->role())) {
            ++each;
            continue;
        }
        Subscriber given_up = std::move(each->second);
        each = subscribers_.erase(each);
        leave(given_up);
        try {
            tell(given_up, StreamKind::unknown, now);
        } catch (const std::bad_alloc&) {  // it hears so when it says something
        }
    }
}

// ---- sending

std::chrono::microseconds StreamSender::send(uint64_t now) {
    if (subscribers_.empty() || (!can_send_ && now < due_)) return std::chrono::microseconds(0);
    can_send_ = false;
    most_updates_ = 0;
    due_ = now + alive_ns;
    for (auto each = subscribers_.begin(); each != subscribers_.end();) {
        if (send_next(each->second, now) == Sent::gone) {
            each = forget(each);
        } else if (has_been_silent(each->second, now)) {
            each = give_up(each, now);
        } else {
            ++each;
        }
    }
    return rest_after(most_updates_);
}

// ---- in a publisher's thread

StreamSender::Subscriber* StreamSender::only_one_of(const Stream& stream) noexcept {
    if (subscribers_.size() > most_looked_through) return nullptr;
    Subscriber* found = nullptr;
    for (auto& each : subscribers_) {
        if (each.second.grant.stream.get() != &stream) continue;
        if (found != nullptr) return nullptr;
        found = &each.second;
    }
    return found;
}

bool StreamSender::send_alone(Stream& stream, uint64_t now) {
    Subscriber* const subscriber = only_one_of(stream);
    if (subscriber == nullptr) return false;
    const Ledger& ledger = *subscriber->grant.ledger;
    const Connection& connection = *subscriber->route.connection;
    const bool allowed = ledger.messages < ledger.allowed_messages && ledger.bytes < ledger.allowed_bytes;
    if (!allowed || connection.is_encrypted() || connection.waiting() > 0 || connection.holdings.parked_peers > 0) return false;
    const uint64_t number = ledger.next;
    const Range range = stream.range();
    if (number != range.newest || send_updates(*subscriber, number, 0, range.last) != Sent::yes) return false;
    subscriber->told = subscriber->active = now;
    stream.ask_for_word();
    return ledger.next > stream.range().newest;
}

uint64_t StreamSender::due(uint64_t now) const noexcept {
    if (subscribers_.empty()) return UINT64_MAX;
    return can_send_ ? now : due_;
}

void StreamSender::retry_soon(uint64_t now) noexcept {
    const uint64_t wait = router_.retry_ns();
    if (wait != UINT64_MAX) due_ = std::min(due_, now + wait);
}

// Sends some of what there is. `full` where more could be sent, had the router the room.
Sent StreamSender::send_next(Subscriber& subscriber, uint64_t now) {
    const Ledger& ledger = *subscriber.grant.ledger;
    const bool allowed = ledger.messages < ledger.allowed_messages && ledger.bytes < ledger.allowed_bytes;
    if (!subscriber.route.connection->is_open()) return Sent::gone;
    Sent sent = Sent::full;
    // An answer that did not fit would wait for ever if updates took all the room. So SUBSCRIBE's comes
    // before what it asked for, too.
    Connection& connection = *subscriber.route.connection;
    if (connection.holdings.parked_peers > 0 || connection.waiting() >= most_waiting) {
        connection.ask_for_room();
        retry_soon(now);
    } else {
        sent = allowed ? send_allowed(subscriber, now) : say_alive(subscriber, now);
    }
    subscriber.blocked = !allowed || sent == Sent::full;
    return sent;
}

Sent StreamSender::send_allowed(Subscriber& subscriber, uint64_t now) {
    const Grant& grant = subscriber.grant;
    const Ledger& ledger = *grant.ledger;
    for (int i = 0; i < messages_in_turn; ++i) {
        if (ledger.messages >= ledger.allowed_messages || ledger.bytes >= ledger.allowed_bytes) return Sent::yes;
        const uint64_t next = ledger.next;
        Range range = grant.stream->range();
        if (next > range.newest) {
            grant.stream->ask_for_word();
            range = grant.stream->range();
        }
        if (next > range.newest) return say_alive(subscriber, now);
        const uint64_t number = grant.latest_only ? range.newest : std::max(next, range.first);
        const Sent sent = send_updates(subscriber, number, number - next, range.last);
        if (sent == Sent::full) retry_soon(now);
        if (sent != Sent::yes) return sent;
        subscriber.told = subscriber.active = now;
        // The few that have come meanwhile leave with those that come in the rest.
        if (ledger.next > range.newest && ledger.next >= number + many) break;
    }
    can_send_ = true;
    return Sent::yes;
}

Sent StreamSender::say_alive(Subscriber& subscriber, uint64_t now) {
    const bool silent = subscriber.unanswered >= most_unanswered;
    if (now - subscriber.told < (silent ? rare_alive_ns : alive_ns) && !has_more_to_hear(subscriber)) return Sent::yes;
    if (!silent && ++subscriber.unanswered == most_unanswered) subscriber.grant.ledger->silent.store(true);
    return tell(subscriber, StreamKind::alive, now);
}

bool StreamSender::has_more_to_hear(const Subscriber& subscriber) const noexcept {
    const Range range = subscriber.grant.stream->range();
    return range.newest < range.last && subscriber.last < range.last;
}

// One message: the update of that number, and those that follow it in its block.
Sent StreamSender::send_updates(Subscriber& subscriber, uint64_t number, uint64_t lost, uint64_t last) {
    std::shared_ptr<Block>& block = subscriber.block;
    if (!block || number < block->first() || number - block->first() >= block->count()) {
        block = subscriber.grant.stream->block_of(number);
        if (!block) return Sent::yes;  // gone in this moment; the next turn sees how far
    }
    if (number < block->first()) {  // what is between was left out
        lost += block->first() - number;
        number = block->first();
    }
    Ledger& ledger = *subscriber.grant.ledger;
    auto begin = static_cast<uint32_t>(number - block->first());
    const uint32_t end = block->count();
    if (subscriber.grant.latest_only) {
        lost += end - 1 - begin;
        number += end - 1 - begin;
        begin = end - 1;
    }
    const uint32_t count = end - begin;
    const std::string_view texts = block->texts(begin, end);

    StreamHeader header = header_for(subscriber, block->loose() ? StreamKind::loose : StreamKind::updates);
    header.arrays = static_cast<uint16_t>(block->arrays().size());
    header.count = count;
    header.first = number;
    header.last = std::max(last, number + count - 1);
    header.lost = lost;
    header.lost_in_all += lost;
    header.sent_in_all += count;
    Message head;
    const size_t times_size = count * sizeof(double);
    if (!head.allocate(sizeof header + times_size + texts.size() + 2)) throw std::bad_alloc();
    char* out = head.data();
    std::memcpy(out, &header, sizeof header);
    std::memcpy(out += sizeof header, block->times(begin), times_size);
    *(out += times_size) = '[';
    std::memcpy(out + 1, texts.data(), texts.size());
    out[1 + texts.size()] = ']';

    const size_t size = head.size() + size_of(block->arrays().data(), block->arrays().size());
    const Route& route = subscriber.route;
    const Sent sent = router_.send(*route.connection, route.frames, head, block->arrays());
    if (sent != Sent::yes) return sent;
    most_updates_ = std::max(most_updates_, count);
    tally(ledger.sent, count);
    tally(ledger.lost, lost);
    tally(ledger.messages);
    tally(ledger.bytes, size);
    ledger.next.store(number + count);
    subscriber.last = header.last;
    subscriber.grant.stream->advanced();
    return Sent::yes;
}

// A word without updates.
Sent StreamSender::tell(Subscriber& subscriber, StreamKind kind, uint64_t now) {
    const StreamHeader header = header_for(subscriber, kind);
    std::vector<Message> no_arrays;
    Message head;
    if (!head.allocate(sizeof header)) throw std::bad_alloc();
    std::memcpy(head.data(), &header, sizeof header);
    subscriber.told = now;
    const Sent sent = router_.send(*subscriber.route.connection, subscriber.route.frames, head, no_arrays);
    if (sent == Sent::yes) subscriber.last = header.last;
    return sent;
}

StreamHeader StreamSender::header_for(const Subscriber& subscriber, StreamKind kind) const noexcept {
    StreamHeader header{};
    std::memcpy(header.magic, stream_magic, sizeof header.magic);
    header.version = stream_version;
    header.kind = kind;
    header.subscription = subscriber.grant.id;
    header.epoch = epoch_;
    if (const Ledger* const ledger = subscriber.grant.ledger.get()) {
        header.first = ledger->next;
        header.last = subscriber.grant.stream->range().last;
        header.lost_in_all = ledger->lost;
        header.sent_in_all = ledger->sent;
    }
    return header;
}

void StreamSender::end(bool in_time, uint64_t now) {
    for (auto each = subscribers_.begin(); each != subscribers_.end();) {
        Subscriber& subscriber = each->second;
        const Grant& grant = subscriber.grant;
        const bool says_so = grant.stream->says_its_end();
        const bool behind = grant.ledger->next <= grant.stream->range().newest || (!says_so && has_more_to_hear(subscriber));
        if (in_time && behind) {
            retry_soon(now);
            ++each;
        } else if (says_so && tell(subscriber, StreamKind::end, now) == Sent::full && in_time) {
            retry_soon(now);
            ++each;
        } else {
            each = forget(each);
        }
    }
}

}  // namespace laplace
