#include "zmtp/curve_reader.h"

#include <algorithm>
#include <cstring>

namespace laplace::zmtp {

namespace {

struct Header {
    size_t size = 0;  // of itself; 0: not all of it has come
    unsigned flags = 0;
    uint64_t body = 0;
};

Header header_at(const char* at, size_t given) noexcept {
    if (given == 0) return {};
    const unsigned flags = byte_of(*at);
    const size_t size = (flags & flag_long) != 0 ? long_header : short_header;
    if (given < size) return {};
    return {size, flags, size == long_header ? read_uint64(at + 1) : byte_of(at[1])};
}

// In the traffic, libzmq marks no frame as a command, others may. The mark for more is within the box.
bool is_allowed(unsigned flags, bool in_traffic) noexcept {
    const unsigned kind = flags & ~flag_long;
    return kind == flag_command || (in_traffic && kind == 0);
}

constexpr unsigned flags_of(CurveTraffic::Kind kind) noexcept {
    return kind == CurveTraffic::Kind::more ? flag_more : kind == CurveTraffic::Kind::command ? flag_command : 0;
}

}  // namespace

CurveReader::Event CurveReader::next(char*& at, char* end) noexcept {
    if (state_ == State::over) return over_;
    if (state_ == State::used) let_go();
    if (state_ == State::header) {
        if (!read_header(at, end)) return state_ == State::over ? over_ : Event::need_more;
        const Event event = begin_body(at, end);
        if (event != Event::need_more) return event;
    }
    return go_on(at, end);
}

// False: more of it is needed, or it is refused.
bool CurveReader::read_header(char*& at, const char* end) noexcept {
    const size_t added = std::min(static_cast<size_t>(end - at), long_header - header_size_);
    if (added != 0) std::memcpy(header_ + header_size_, at, added);
    const Header header = header_at(header_, header_size_ + added);
    if (header.size == 0) {
        at += added;
        header_size_ = static_cast<uint8_t>(header_size_ + added);
        return false;
    }
    at += header.size - header_size_;
    header_size_ = 0;
    const bool in_traffic = traffic_ != nullptr;
    const uint64_t least = in_traffic ? curve::message_body : 1;
    if (!is_allowed(header.flags, in_traffic) || header.body < least || header.body > max_frame_size ||
        (!in_traffic && header.body > max_command)) {
        give_up(Event::fault, CurveFault::malformed);
        return false;
    }
    if (in_traffic && header.body - curve::message_body > max_body_) {
        const char* const behind = encode_header(false, header.body - curve::message_body, header_);
        plain_ = {header_, static_cast<size_t>(behind - header_)};
        give_up(Event::too_large);
        return false;
    }
    if (header.body > SIZE_MAX) {
        give_up(Event::no_memory);
        return false;
    }
    size_ = static_cast<size_t>(header.body);
    come_ = 0;
    state_ = State::body;
    return true;
}

// need_more: it has to be gathered.
CurveReader::Event CurveReader::begin_body(char*& at, char* end) noexcept {
    if (size_ <= static_cast<size_t>(end - at)) {
        char* const frame = at;
        at += size_;
        const Event event = finish(frame);
        if (event == Event::plain) add_following(at, end);
        return event;
    }
    if (!tells_large_ || traffic_ == nullptr || body_size() < least_large) return Event::need_more;
    return Event::begin;
}

// Gathers the body of a frame, or of a command.
CurveReader::Event CurveReader::go_on(char*& at, char* end) noexcept {
    const bool apart = memory_ != nullptr;
    while (come_ < size_ && at != end) {
        size_t size = std::min(size_ - come_, static_cast<size_t>(end - at));
        char* to = nullptr;
        if (apart && come_ < sizeof head_) {
            size = std::min(size, sizeof head_ - come_);
            to = head_ + come_;
        } else if (apart) {
            to = memory_ + (come_ - sizeof head_);
        } else {
            if (come_ + size > room_size_ && !grow(come_ + size)) return give_up(Event::no_memory);
            to = room_.get() + come_;
        }
        std::memcpy(to, at, size);
        at += size;
        come_ += size;
    }
    if (come_ < size_) return Event::need_more;
    return apart ? finish_apart() : finish(room_.get());
}

CurveReader::Event CurveReader::finish(char* frame) noexcept {
    state_ = State::used;
    if (traffic_ == nullptr) {
        frame_ = frame;
        return Event::command;
    }
    plain_ = {};
    return open_into_run(frame) ? Event::plain : over_;
}

CurveReader::Event CurveReader::finish_apart() noexcept {
    state_ = State::used;
    const CurveFault fault = traffic_->open_apart(head_, memory_, body_size(), kind_);
    memory_ = nullptr;
    return fault == CurveFault::none ? Event::end : give_up(Event::fault, fault);
}

// Opens a frame of size_, and makes it the end of what is plain.
bool CurveReader::open_into_run(char* frame) noexcept {
    CurveTraffic::Opened opened;
    const CurveFault fault = traffic_->open(frame, size_, opened);
    if (fault != CurveFault::none) {
        give_up(Event::fault, fault);
        return false;
    }
    const size_t header = header_size(opened.body.size());
    const char* const body = opened.body.data();
    char* const begin = plain_.empty() ? frame + (curve::message_body - header)
                                       : const_cast<char*>(plain_.data()) + plain_.size();
    char* const to = detail::encode_header(flags_of(opened.kind), opened.body.size(), begin);
    if (to != body && !opened.body.empty()) std::memmove(to, body, opened.body.size());
    plain_ = {plain_.empty() ? begin : plain_.data(), plain_.size() + header + opened.body.size()};
    return true;
}

// Small frames that have come whole behind it are opened, too, and put next to it: so that a message of several
// is read in one piece.
void CurveReader::add_following(char*& at, char* end) noexcept {
    while (plain_.size() < longest_run) {
        const Header header = header_at(at, static_cast<size_t>(end - at));
        if (header.size == 0 || !is_allowed(header.flags, true) || header.body < curve::message_body) return;
        const uint64_t body = header.body - curve::message_body;
        if (body > most_moved || body > max_body_ || header.body > static_cast<size_t>(end - at) - header.size) return;
        size_ = static_cast<size_t>(header.body);
        char* const frame = at + header.size;
        at = frame + size_;
        if (!open_into_run(frame)) return;  // what is plain already is read first
    }
}

CurveReader::Room CurveReader::room() noexcept {
    if (state_ != State::body || traffic_ == nullptr || body_size() < least_large) return {};
    if (memory_ != nullptr) {
        if (come_ < sizeof head_) return {};
        return {memory_ + (come_ - sizeof head_), size_ - come_};
    }
    if (tells_large_ && come_ == 0) return {};  // nobody has been able to say where to put it
    if (come_ == room_size_ && !grow(come_)) return {};
    return {room_.get() + come_, room_size_ - come_};
}

// Room for so many bytes and for as many again, but for no more than it has.
bool CurveReader::grow(size_t at_least) noexcept {
    const size_t wanted = at_least < size_ / 2 ? std::min(std::max(2 * at_least, first_room), size_) : size_;
    auto* const larger = static_cast<char*>(std::realloc(room_.get(), wanted));
    if (larger == nullptr) return false;
    static_cast<void>(room_.release());
    room_.reset(larger);
    room_size_ = wanted;
    return true;
}

void CurveReader::let_go() noexcept {
    state_ = State::header;
    plain_ = {};
    frame_ = nullptr;
    room_.reset();
    room_size_ = 0;
}

void CurveReader::release() noexcept {
    let_go();
    give_up(over_ == Event::need_more ? Event::fault : over_);
}

CurveReader::Event CurveReader::give_up(Event why, CurveFault fault) noexcept {
    state_ = State::over;
    over_ = why;
    fault_ = fault;
    memory_ = nullptr;
    return why;
}

}  // namespace laplace::zmtp
