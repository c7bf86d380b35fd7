#include "client/incoming.h"

#include <cassert>
#include <cstring>

namespace laplace {

namespace {

PeerFault peer_fault(zmtp::Fault fault) noexcept {
    switch (fault) {
        case zmtp::Fault::none: return PeerFault::none;
        case zmtp::Fault::not_zmtp: return PeerFault::not_zmtp;
        case zmtp::Fault::version: return PeerFault::version;
        case zmtp::Fault::mechanism: return PeerFault::mechanism;
        case zmtp::Fault::socket_type: return PeerFault::socket_type;
        case zmtp::Fault::malformed: return PeerFault::malformed;
        case zmtp::Fault::refused_by_peer: return PeerFault::refused_by_peer;
    }
    return PeerFault::malformed;
}

}  // namespace

Incoming::Event Incoming::next_plain(const char*& at, const char* end) noexcept {
    using Said = zmtp::Conversation::Event;
    if (fault_ != PeerFault::none) return Event::fault;
    for (;;) {
        if (memory_ != nullptr && !conversation_.in_frame()) {
            memory_ = nullptr;
            return Event::end;
        }
        switch (conversation_.next(at, end)) {
            case Said::need_more: return Event::need_more;
            case Said::ready: return Event::ready;
            case Said::frame: return begin_frame(at, end);
            case Said::piece:
                assert(memory_ != nullptr);
                std::memcpy(memory_, conversation_.piece().data(), conversation_.piece().size());
                memory_ += conversation_.piece().size();
                break;
            case Said::ping: return Event::answer;
            case Said::command:
            case Said::pong: break;
            case Said::fault: return fail(peer_fault(conversation_.fault()));
        }
    }
}

// What the link has opened is heard as if it had come over NULL; large frames it puts into their memory itself.
Incoming::Event Incoming::next_opened(char*& at, char* end) noexcept {
    for (;;) {
        const char* from = opened_.data();
        const Event event = next_plain(from, opened_.data() + opened_.size());
        opened_.remove_prefix(static_cast<size_t>(from - opened_.data()));
        if (event != Event::need_more) return event;
        switch (link_->next(at, end)) {
            case CurveLink::Event::need_more: return Event::need_more;
            case CurveLink::Event::answer: return Event::answer;
            case CurveLink::Event::ready:
                is_ready_ = true;
                conversation_.begin_traffic(link_->peer());
                return Event::ready;
            case CurveLink::Event::plain: opened_ = link_->plain(); break;
            case CurveLink::Event::begin:
                size_ = link_->body_size();
                return may_begin_frame() ? Event::begin : Event::fault;
            case CurveLink::Event::end: return end_opened();
            case CurveLink::Event::fault: return fail(link_->fault());
        }
    }
}

// No command is so large.
Incoming::Event Incoming::end_opened() noexcept {
    if (link_->kind() == CurveLink::Kind::command) return fail(PeerFault::malformed);
    count_frame(link_->kind() == CurveLink::Kind::more);
    return Event::end;
}

Incoming::Event Incoming::begin_frame(const char*& at, const char* end) noexcept {
    if (!may_begin_frame()) return Event::fault;
    count_frame(conversation_.more());
    size_ = conversation_.left();
    if (size_ > static_cast<size_t>(end - at)) {
        return size_ <= PTRDIFF_MAX ? Event::begin : fail(PeerFault::no_memory);
    }
    const auto size = static_cast<size_t>(size_);
    whole_ = {at, size};
    at += size;
    conversation_.took(size);
    return Event::frame;
}

bool Incoming::may_begin_frame() noexcept {
    if (frames_ != max_frames) return true;
    fail(PeerFault::too_many_frames);
    return false;
}

void Incoming::count_frame(bool more) noexcept {
    more_ = more;
    frames_ = more ? frames_ + 1 : 0;
}

Incoming::Event Incoming::fail(PeerFault fault) noexcept {
    fault_ = fault;
    memory_ = nullptr;
    if (link_ != nullptr) link_->give_up(fault);
    return Event::fault;
}

}  // namespace laplace
