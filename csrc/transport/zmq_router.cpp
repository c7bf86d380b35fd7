#include "transport/zmq_router.h"

#include <iterator>
#include <new>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t usual_frames = 8;       // of a message
constexpr size_t many_connections = 64;  // when to look for records of no use

}  // namespace

ZmqRouter::ZmqRouter(Options options, WakeUp& wake_up, Counters& counters)
    : Router(wake_up, counters), options_(options), sockets_(counters), frames_(usual_frames) {}

int ZmqRouter::open(const std::string& address) noexcept {
    const int error = sockets_.open(address, options_.max_message_bytes, options_.real_time);
    if (error != 0) return error;
    socket_ = sockets_.router();
    try {
        endpoint_ = sockets_.endpoint();
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    wake_up_.set_alarm(&sockets_);
    holds_port_.store(true);
    return 0;
}

void ZmqRouter::close(int linger_ms) noexcept {
    wake_up_.set_alarm(nullptr);
    sockets_.close(linger_ms);
    holds_port_.store(false);
}

// ---- receiving

Got ZmqRouter::receive(Received& message, int wait_ms, bool may_spin, int& error) {
    error = 0;
    set_timeout(wait_ms);
    if (!await_frame(may_spin, error)) return Got::nothing;
    if (!receive_others(error)) return Got::nothing;
    if (frame_count_ == 2 && frames_[0].view() == ZmqSockets::wake_id) {
        spin_.interrupted();
        return Got::other;
    }
    message.arrived = now_ns();
    size_t route_size = 0;
    uint64_t bytes = 0;
    for (size_t i = 1; i < frame_count_; ++i) {
        const size_t size = frames_[i].size();
        bytes += size;
        if (size == 0 && route_size == 0) route_size = i + 1;
    }
    tally(counters_.bytes_in, bytes);
    if (route_size == 0) {
        spin_.interrupted();
        tally(counters_.of(ErrorKind::no_delimiter));
        return Got::other;
    }
    encode_route(route_size);
    message.connection = &known(frames_[0].view());
    message.route = route_;
    message.one_frame = frame_count_ == route_size + 1;
    message.body = message.one_frame ? frames_[route_size].view() : std::string_view();
    message.reader = nullptr;
    return Got::message;
}

// The first frame of a message; false without one: time-out, wake-up, a signal, a fault.
bool ZmqRouter::await_frame(bool may_spin, int& error) {
    zmq_msg* const frame = frames_[0].raw();
    const bool may_sleep = timeout_ms_ != 0;
    if (may_sleep && may_spin && spin_.brisk()) {
        for (;;) {
            if (zmq.msg_recv(frame, socket_, ZMQ_DONTWAIT) >= 0) return true;
            error = zmq.errno_();
            if (error != EAGAIN) return false;
            if (wake_up_.wanted()) {
                spin_.interrupted();
                return false;
            }
            if (!spin_.again(now_ns())) break;
            std::this_thread::yield();
        }
    } else {
        spin_.sleep(now_ns());
    }
    if (may_sleep && !wake_up_.fall_asleep()) return false;
    const int received = zmq.msg_recv(frame, socket_, 0);
    error = received < 0 ? zmq.errno_() : 0;
    wake_up_.awake();
    return received >= 0;
}

// A message arrives whole or not at all.
bool ZmqRouter::receive_others(int& error) {
    size_t count = 1;
    for (ZmqFrame* last = frames_.data(); last->more(); ++count) {
        if (count == frames_.size()) last = add_frames();
        ++last;
        while (zmq.msg_recv(last->raw(), socket_, 0) < 0) {
            error = zmq.errno_();
            if (error != EINTR) return false;
        }
    }
    frame_count_ = count;
    error = 0;
    return true;
}

// Makes room, and returns the last frame there is.
ZmqFrame* ZmqRouter::add_frames() {
    const size_t count = frames_.size();
    try {
        frames_.resize(2 * count);
    } catch (const std::bad_alloc&) {
        skip_others(frames_.back());
        throw;
    }
    return &frames_[count - 1];
}

// What is left of a message must not be taken for the next one.
void ZmqRouter::skip_others(ZmqFrame& frame) noexcept {
    while (frame.more()) {
        if (zmq.msg_recv(frame.raw(), socket_, 0) < 0 && zmq.errno_() != EINTR) return;
    }
}

void ZmqRouter::set_timeout(int milliseconds) noexcept {
    if (milliseconds == timeout_ms_) return;
    if (zmq.setsockopt(socket_, ZMQ_RCVTIMEO, &milliseconds, sizeof milliseconds) == 0) timeout_ms_ = milliseconds;
}

void ZmqRouter::encode_route(size_t count) {
    route_.clear();
    for (size_t i = 1; i < count; ++i) {
        char header[zmtp::max_header];
        const char* const behind = zmtp::encode_header(true, frames_[i].size(), header);
        route_.append(header, static_cast<size_t>(behind - header));
        route_.append(frames_[i].view());
    }
}

ZmqRouter::Known& ZmqRouter::known(std::string_view id) {
    const auto [entry, is_new] = connections_.try_emplace(std::string(id));
    if (!is_new) return static_cast<Known&>(*entry->second);
    try {
        auto made = std::make_unique<Known>();
        made->id = id;
        made->in_flight = std::make_shared<std::atomic<size_t>>(0);
        entry->second = ConnectionRef(made.release());
    } catch (const std::bad_alloc&) {
        connections_.erase(entry);
        throw;
    }
    if (connections_.size() % many_connections == 0) {
        for (auto each = connections_.begin(); each != connections_.end();) {
            const bool unused = each != entry && each->second.is_last() &&
                                static_cast<Known&>(*each->second).in_flight->load() == 0;
            each = unused ? connections_.erase(each) : std::next(each);
        }
    }
    return static_cast<Known&>(*entry->second);
}

// ---- sending

inline Sent ZmqRouter::send_frame(ZmqFrame& frame, bool more_follow) noexcept {
    const int flags = more_follow ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT;
    while (zmq.msg_send(frame.raw(), socket_, flags) < 0) {
        const int error = zmq.errno_();
        if (error != EINTR) return error == EAGAIN ? Sent::full : Sent::gone;
    }
    return Sent::yes;
}

// The ROUTER chooses a pipe with the first frame. It takes the others, or drops them when the peer goes
// meanwhile: so all of them are made before.
Sent ZmqRouter::send(Connection& to, std::string_view route, const Message& body,
                     const std::vector<Message>& more) {
    const Known& peer = static_cast<Known&>(to);
    const size_t size = body.size() + size_of(more.data(), more.size());
    const size_t with_route = size + route.size();
    ZmqFrame::Account account;
    if (with_route >= large_message) {
        account = peer.in_flight;
        const size_t there = account->load();  // one always fits
        if (there != 0 && there + with_route > options_.most_in_flight) return Sent::full;
    }
    std::vector<ZmqFrame> frames(1);
    bool made = frames[0].copy(peer.id);
    for (const zmtp::Frame frame : zmtp::Frames(route)) {
        Message routing;
        made = routing.allocate(frame.body.size()) && made;
        if (routing.size() > 0) std::memcpy(routing.data(), frame.body.data(), routing.size());
        made = frames.emplace_back().refer_to(routing, account) && made;
    }
    made = frames.emplace_back().refer_to(body, account) && made;
    for (const Message& frame : more) made = frames.emplace_back().refer_to(frame, account) && made;
    if (!made) throw std::bad_alloc();
    size_t left = frames.size();
    for (ZmqFrame& frame : frames) {
        const Sent sent = send_frame(frame, --left > 0);
        if (sent != Sent::yes) return &frame == frames.data() ? sent : Sent::gone;
    }
    last_sent_ = now_ns();
    tally(counters_.bytes_out, size);
    return Sent::yes;
}

}  // namespace laplace
