// The loop's part for streams: who follows one gets what its credit allows.
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "loop.h"

namespace laplace {

namespace {

constexpr int messages_in_turn = 4;  // to one subscriber, before the others and the requests
// Where a message held dozens of updates, the loop rests after it, so that the next holds more still:
// their number is what costs, here, in libzmq and at the other end. Not beside requests, which would
// have to wait.
constexpr uint64_t calm_ns = 10000000;

std::chrono::microseconds rest_after(uint32_t updates) noexcept {
    constexpr uint32_t many = 16, very_many = 64;
    return std::chrono::microseconds(updates < many ? 0 : updates < very_many ? 100 : 250);
}

// A subscription is its peer's, so the peer must not number its requests in a routing frame.
std::string key_of(Message* route, size_t delimiter, uint32_t subscription) {
    std::string key;
    route_key(route, delimiter, key);
    return key.append(reinterpret_cast<const char*>(&subscription), sizeof subscription);
}

}  // namespace

// Whether it was a subscriber's word; then nothing is answered, but to a stranger.
bool Loop::take_control(size_t delimiter, Message& body) {
    StreamControl control;
    if (!is_stream_control(body.view(), control)) return false;
    const auto found = subscribers_.find(key_of(frames_.data(), delimiter, control.subscription));
    if (found == subscribers_.end()) {
        if (control.kind == STREAM_LEAVE) return true;
        Subscriber stranger;
        stranger.subscription.id = control.subscription;
        stranger.route.reserve(delimiter + 1);
        for (size_t i = 0; i <= delimiter; ++i) stranger.route.push_back(std::move(frames_[i]));
        tell(stranger, STREAM_UNKNOWN);
        return true;
    }
    Subscription& subscription = found->second.subscription;
    found->second.unanswered = 0;
    if (control.kind == STREAM_LEAVE) {
        shared_.streams.leave(subscription);
        subscribers_.erase(found);
        return true;
    }
    subscription.ledger->allowed_messages.store(control.messages, std::memory_order_relaxed);
    subscription.ledger->allowed_bytes.store(control.bytes, std::memory_order_relaxed);
    subscription.ledger->confirmed.store(control.next, std::memory_order_relaxed);
    look_at_streams_ = true;
    return true;
}

// Begins a subscription, or begins it anew.
void Loop::subscribe(Route& route, const Subscription& subscription) {
    Subscriber subscriber;
    subscriber.route.resize(route.size());
    for (size_t i = 0; i < route.size(); ++i) {
        if (!subscriber.route[i].share(route[i])) throw std::bad_alloc();
    }
    subscriber.subscription = subscription;
    subscriber.told = now_ns();  // by the reply
    Subscriber& placed = subscribers_[key_of(route.data(), route.size() - 1, subscription.id)];
    if (placed.subscription.ledger) shared_.streams.leave(placed.subscription);
    placed = std::move(subscriber);
    shared_.streams.enter(subscription);
    look_at_streams_ = true;
}

void Loop::pump(uint64_t now) {
    look_at_streams_ = false;
    most_updates_ = 0;
    streams_at_ = now + alive_ns;
    for (auto each = subscribers_.begin(); each != subscribers_.end();) {
        if (pump_one(each->second, now) != Sent::gone) {
            ++each;
            continue;
        }
        shared_.streams.leave(each->second.subscription);
        each = subscribers_.erase(each);
    }
    const auto rest = rest_after(most_updates_);
    if (rest.count() > 0 && now - last_request_ > calm_ns) std::this_thread::sleep_for(rest);
}

// Whether answers stand before the updates: one that did not fit waits for its connection, and
// would for ever if updates took all the room. So SUBSCRIBE's comes before what it asked for, too.
bool Loop::answers_wait(Subscriber& subscriber) const {
    if (parked_.empty()) return false;
    const auto found = connections_.find(std::string(subscriber.route[0].view()));
    return found != connections_.end() && found->second.parked_peers > 0;
}

// Sends some of what there is. `full` where more could be sent, had libzmq the room.
Loop::Sent Loop::pump_one(Subscriber& subscriber, uint64_t now) {
    if (answers_wait(subscriber)) {
        streams_at_ = std::min(streams_at_, now + first_retry_ns);
        return Sent::full;
    }
    Subscription& subscription = subscriber.subscription;
    Ledger& ledger = *subscription.ledger;
    for (int i = 0; i < messages_in_turn; ++i) {
        const bool allowed = ledger.messages < ledger.allowed_messages && ledger.bytes < ledger.allowed_bytes;
        const uint64_t next = ledger.next;
        Range range = subscription.stream->range();
        if (allowed && next > range.last) {
            subscription.stream->ask_for_word();
            range = subscription.stream->range();
        }
        if (!allowed || next > range.last) {
            if (now - subscriber.told < alive_ns || subscriber.unanswered >= most_unanswered) return Sent::yes;
            ++subscriber.unanswered;
            return tell(subscriber, STREAM_ALIVE);
        }
        const uint64_t number = subscription.latest_only ? range.last : std::max(next, range.first);
        const Sent sent = send_updates(subscriber, number, number - next, range.last);
        if (sent == Sent::full) streams_at_ = std::min(streams_at_, now + first_retry_ns);
        if (sent != Sent::yes) return sent;
        subscriber.told = now;
    }
    look_at_streams_ = true;
    return Sent::yes;
}

StreamHeader Loop::header_for(const Subscriber& subscriber, stream_kind kind) const noexcept {
    StreamHeader header{};
    std::memcpy(header.magic, stream_magic, sizeof header.magic);
    header.version = stream_version;
    header.kind = kind;
    header.subscription = subscriber.subscription.id;
    header.epoch = shared_.config.epoch;
    if (const Ledger* const ledger = subscriber.subscription.ledger.get()) {
        header.first = ledger->next;
        header.last = subscriber.subscription.stream->range().last;
        header.lost_in_all = ledger->lost;
        header.sent_in_all = ledger->sent;
    }
    return header;
}

// One message: the update of that number, and those that follow it in its block.
Loop::Sent Loop::send_updates(Subscriber& subscriber, uint64_t number, uint64_t lost, uint64_t last) {
    std::shared_ptr<Block>& block = subscriber.block;
    if (!block || number < block->first() || number - block->first() >= block->count()) {
        block = subscriber.subscription.stream->block_of(number);
        if (!block) return Sent::yes;  // gone in this moment; the next look sees how far
    }
    Ledger& ledger = *subscriber.subscription.ledger;
    auto begin = static_cast<uint32_t>(number - block->first());
    const uint32_t end = block->count();
    if (subscriber.subscription.latest_only) {
        lost += end - 1 - begin;
        number += end - 1 - begin;
        begin = end - 1;
    }
    const uint32_t count = end - begin;
    const std::string_view texts = block->texts(begin, end);

    StreamHeader header = header_for(subscriber, block->loose() ? STREAM_LOOSE : STREAM_UPDATES);
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

    size_t size = head.size();
    for (const Message& array : block->arrays()) size += array.size();
    const Sent sent = send_stream(subscriber.route, head, &block->arrays());
    if (sent != Sent::yes) return sent;
    most_updates_ = std::max(most_updates_, count);
    tally(ledger.sent, count);
    tally(ledger.lost, lost);
    tally(ledger.messages);
    tally(ledger.bytes, size);
    ledger.next.store(number + count);
    subscriber.subscription.stream->advanced();
    return Sent::yes;
}

// A word without updates.
Loop::Sent Loop::tell(Subscriber& subscriber, stream_kind kind) {
    const StreamHeader header = header_for(subscriber, kind);
    Message head;
    if (!head.allocate(sizeof header)) throw std::bad_alloc();
    std::memcpy(head.data(), &header, sizeof header);
    subscriber.told = now_ns();
    return send_stream(subscriber.route, head, nullptr);
}

Loop::Sent Loop::send_stream(Route& route, Message& head, std::vector<Message>* arrays) {
    const size_t array_count = arrays == nullptr ? 0 : arrays->size();
    const size_t frames = route.size() + 1 + array_count;
    size_t size = head.size();
    for (size_t i = 0; i < array_count; ++i) size += (*arrays)[i].size();
    std::shared_ptr<std::atomic<size_t>> in_flight;
    if (size >= large_reply) {
        in_flight = connection_of(route[0].view()).in_flight;
        const size_t there = in_flight->load();
        if (there > 0 && there + size > shared_.config.limits.peer_parked_bytes) return Sent::full;
    }
    for (size_t i = 0; i < frames; ++i) {
        Message shared;
        Message* frame = &head;
        if (i != route.size()) {
            Message& kept = i < route.size() ? route[i] : (*arrays)[i - route.size() - 1];
            if (!shared.share(kept)) return Sent::gone;
            frame = &shared;
        }
        if (i >= route.size() && in_flight) frame->count_until_freed(in_flight);
        const int flags = ZMQ_DONTWAIT | (i + 1 == frames ? 0 : ZMQ_SNDMORE);
        while (zmq.msg_send(frame->raw(), router_, flags) < 0) {
            const int error = zmq.errno_();
            if (error == EINTR) continue;
            return i == 0 && error == EAGAIN ? Sent::full : Sent::gone;
        }
    }
    tally(shared_.counters.bytes_out, size);
    last_sent_ = now_ns();
    return Sent::yes;
}

// The server stops: each subscriber is sent what there is, as far as its credit goes until the time
// is over, and told the last number.
void Loop::end_streams(bool in_time) {
    for (auto each = subscribers_.begin(); each != subscribers_.end();) {
        Subscriber& subscriber = each->second;
        const Subscription& subscription = subscriber.subscription;
        const bool behind = subscription.ledger->next <= subscription.stream->range().last;
        if ((in_time && behind) || (tell(subscriber, STREAM_END) == Sent::full && in_time)) {
            streams_at_ = std::min(streams_at_, now_ns() + first_retry_ns);
            ++each;
            continue;
        }
        shared_.streams.leave(subscription);
        each = subscribers_.erase(each);
    }
}

}  // namespace laplace
