#include "transport/sealing.h"

#include <algorithm>
#include <new>
#include <utility>

#include "zmtp/frames.h"

namespace laplace {

namespace {

using zmtp::CurveTraffic;

CurveTraffic::Kind kind_of(unsigned flags) noexcept {
    if ((flags & zmtp::flag_command) != 0) return CurveTraffic::Kind::command;
    return (flags & zmtp::flag_more) != 0 ? CurveTraffic::Kind::more : CurveTraffic::Kind::last;
}

}  // namespace

size_t Sealing::most_sealed(std::string_view route, size_t body) noexcept {
    size_t size = CurveTraffic::sealed_size(body);
    for (const zmtp::Frame frame : zmtp::Frames(route)) size += CurveTraffic::sealed_size(frame.body.size());
    return size;
}

char* Sealing::seal(std::string_view route, std::string_view body, char* out) noexcept {
    for (const zmtp::Frame frame : zmtp::Frames(route)) {
        if (!traffic_.seal(CurveTraffic::Kind::more, frame.body, out)) return nullptr;
        out += CurveTraffic::sealed_size(frame.body.size());
    }
    if (!traffic_.seal(CurveTraffic::Kind::last, body, out)) return nullptr;
    return out + CurveTraffic::sealed_size(body.size());
}

char* Sealing::seal_frame(std::string_view frame, char* out) noexcept {
    const std::string_view body = (*zmtp::Frames(frame).begin()).body;
    if (!traffic_.seal(kind_of(zmtp::byte_of(frame[0])), body, out)) return nullptr;
    return out + CurveTraffic::sealed_size(body.size());
}

bool Sealing::go_on(Outbox& clear, size_t bytes) {
    size_t left = bytes - std::min(bytes, ready_.size());  // enough is ready where nobody takes it
    while (left > 0 && (large_ != nullptr || !clear.empty())) {
        size_t done = clear.size();
        if (large_ == nullptr && !seal_first(clear)) return false;
        done -= clear.size();
        if (large_ != nullptr) {
            done = std::min(std::max(left, crypto::LongBox::slice), large_->left);
            if (!large_->box.go_on(done)) return false;
            large_->left -= done;
            if (large_->box.is_sealed()) {
                ready_.add(std::move(large_->sealed));
                large_.reset();
            }
        }
        left -= std::min(left, done);
    }
    return true;
}

// Seals the first frame, or begins to.
bool Sealing::seal_first(Outbox& clear) {
    const Outbox::Front front = clear.front();
    const CurveTraffic::Kind kind = kind_of(front.flags);
    const size_t size = CurveTraffic::sealed_size(front.body.size());
    if (front.body.size() < CurveTraffic::least_long) {
        if (!traffic_.seal(kind, front.body, ready_.extend(size))) return false;
    } else {
        auto large = std::make_unique<Large>();
        if (!large->sealed.allocate(size)) throw std::bad_alloc();
        large->clear = front.memory->share();
        large->left = front.body.size();
        if (!traffic_.begin_seal(kind, front.body, large->sealed.data(), large->box)) return false;
        large_ = std::move(large);
    }
    clear.left(front.encoded);
    return true;
}

}  // namespace laplace
