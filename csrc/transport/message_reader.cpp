#include "transport/message_reader.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t most_kept = 256;  // bytes of a route's memory, for the next one

}  // namespace

MessageReader::Event MessageReader::go_on(const char*& at, const char* end) noexcept {
    if (part_ == Part::finished) {
        let_go();
        return next(at, end);
    }
    if (over_ != Event::need_more) return over_;
    if (part_ == Part::gathered_body && !conversation_.in_frame()) return finish_body();
    for (;;) {
        Event event = Event::need_more;
        switch (conversation_.next(at, end)) {
            case zmtp::Conversation::Event::need_more: return Event::need_more;
            case zmtp::Conversation::Event::ready: return Event::ready;
            case zmtp::Conversation::Event::ping: return Event::ping;
            case zmtp::Conversation::Event::pong: return Event::pong;
            case zmtp::Conversation::Event::fault: return give_up(Event::fault);
            case zmtp::Conversation::Event::command:
                if (conversation_.left() > limits_.max_bytes) return give_up(Event::too_large);
                break;
            case zmtp::Conversation::Event::frame: event = begin_frame(at, end); break;
            case zmtp::Conversation::Event::piece: event = add_piece(conversation_.piece()); break;
        }
        if (event != Event::need_more) return event;
    }
}

// ---- frames. need_more means that there is no event yet

MessageReader::Event MessageReader::begin_frame(const char*& at, const char* end) noexcept {
    if (part_ == Part::none) {
        part_ = Part::route;
        one_frame_ = false;
        route_view_ = body_view_ = {};
        bytes_ = frames_ = 0;
    }
    if (conversation_.left() > limits_.max_bytes - bytes_) return give_up(Event::too_large);
    if (frames_ == limits_.max_frames) return give_up(Event::too_many_frames);
    const size_t size = static_cast<size_t>(conversation_.left());
    bytes_ += size;
    frames_ += 1;
    if (part_ == Part::route) {
        char header[zmtp::max_header];
        const char* const behind = zmtp::encode_header(true, size, header);
        const size_t header_size = static_cast<size_t>(behind - header);
        const size_t room = limits_.max_route_bytes - std::min(limits_.max_route_bytes, route_.size());
        if (header_size > room || size > room - header_size) return give_up(Event::too_long_route);
        return add_to_route({header, header_size});
    }
    if (part_ != Part::body) return Event::need_more;
    if (conversation_.more()) {
        part_ = Part::skipped;
        return Event::need_more;
    }
    one_frame_ = true;
    body_size_ = size;
    part_ = Part::gathered_body;
    if (size > static_cast<size_t>(end - at)) return Event::need_more;
    body_view_ = {at, size};
    at += size;
    conversation_.took(size);
    part_ = Part::finished;
    return Event::message;
}

MessageReader::Event MessageReader::add_piece(std::string_view piece) noexcept {
    if (part_ == Part::gathered_body) {
        const size_t before = gathered() - piece.size();
        const size_t there = before + piece.size();
        if (there > body_.size() && !grow_body(there)) return give_up(Event::no_memory);
        std::memcpy(body_.data() + before, piece.data(), piece.size());
        return conversation_.in_frame() ? Event::need_more : finish_body();
    }
    const bool frame_ends = !conversation_.in_frame();
    const bool ends = frame_ends && !conversation_.more();
    if (part_ == Part::route) {
        const Event event = add_to_route(piece);
        if (event != Event::need_more) return event;
        const bool is_delimiter = frame_ends && piece.empty();
        if (is_delimiter) {
            route_view_ = route_;
            part_ = Part::body;
        } else if (ends) {
            part_ = Part::finished;
            return Event::no_delimiter;
        }
    }
    if (!ends) return Event::need_more;
    part_ = Part::finished;
    return Event::message;
}

MessageReader::Event MessageReader::finish_body() noexcept {
    body_view_ = body_.view();
    part_ = Part::finished;
    return Event::message;
}

MessageReader::Event MessageReader::give_up(Event why) noexcept {
    if (part_ == Part::none) route_view_ = {};  // of the message before
    over_ = why;
    part_ = Part::skipped;
    body_ = Message();
    body_view_ = {};
    one_frame_ = false;
    return why;
}

// ---- memory

MessageReader::Event MessageReader::add_to_route(std::string_view bytes) noexcept {
    try {
        route_.append(bytes);
    } catch (const std::bad_alloc&) {
        return give_up(Event::no_memory);
    }
    return Event::need_more;
}

// Makes room for so many bytes of the body and for as many again, but for no more than it has.
bool MessageReader::grow_body(size_t at_least) noexcept {
    const size_t wanted = at_least < body_size_ / 2 ? std::max(2 * at_least, first_room) : body_size_;
    return body_.resize(std::min(wanted, body_size_));
}

MessageReader::Room MessageReader::room() noexcept {
    if (part_ != Part::gathered_body || !conversation_.in_frame()) return {};
    const size_t there = gathered();
    if (there == body_.size() && !grow_body(there)) return {};
    return {body_.data() + there, body_.size() - there};
}

bool MessageReader::take_body(Message& message) noexcept {
    if (body_view_.empty()) {
        message = Message();
        return true;
    }
    if (body_.size() > 0) {
        message = std::move(body_);
        return true;
    }
    if (!message.allocate(body_view_.size())) return false;
    std::memcpy(message.data(), body_view_.data(), body_view_.size());
    return true;
}

void MessageReader::release() noexcept {
    give_up(over_ == Event::need_more ? Event::fault : over_);
    std::string().swap(route_);
    route_view_ = body_view_ = {};
}

void MessageReader::let_go() noexcept {
    part_ = Part::none;
    body_ = Message();
    if (route_.capacity() > most_kept) {
        std::string().swap(route_);  // assigning an empty one would keep the memory
    } else {
        route_.clear();
    }
}

}  // namespace laplace
