// What waits to be sent over CURVE. It waits in the clear, in the connection's outbox, where subscribers share
// it; when its turn comes it is sealed here, frame by frame, in the order of the wire, and then it must be sent.
#ifndef LAPLACE_SEALING_H
#define LAPLACE_SEALING_H

#include <cstddef>
#include <memory>
#include <string_view>

#include "crypto/long_box.h"
#include "transport/message.h"
#include "transport/outbox.h"
#include "zmtp/curve_traffic.h"

namespace laplace {

class Sealing {
public:
    // The traffic stays the caller's, and outlives this.
    explicit Sealing(zmtp::CurveTraffic& traffic) noexcept : traffic_(traffic) {}
    Sealing(const Sealing&) = delete;
    Sealing& operator=(const Sealing&) = delete;

    // How many bytes a message becomes, at most. The route is encoded.
    static size_t most_sealed(std::string_view route, size_t body) noexcept;

    // A message of one frame behind its route, sealed at once; only where nothing waits. Returns what is behind
    // it, null where the connection is over.
    [[nodiscard]] char* seal(std::string_view route, std::string_view body, char* out) noexcept;
    // The same of a frame that is encoded.
    [[nodiscard]] char* seal_frame(std::string_view frame, char* out) noexcept;

    // Seals about so many bytes more of what waits in the clear. A large frame is ready only as a whole, and may
    // need several calls. False, or std::bad_alloc: the connection is over.
    [[nodiscard]] bool go_on(Outbox& clear, size_t bytes);
    // What is to be sent next, as it is.
    Outbox& ready() noexcept { return ready_; }
    // Bytes of that, and of what is being sealed.
    size_t size() const noexcept { return ready_.size() + (large_ == nullptr ? 0 : large_->sealed.size()); }
    void clear() noexcept {
        ready_.clear();
        large_.reset();
    }

private:
    // A frame that is sealed by and by, out of memory that it has in common with others.
    struct Large {
        crypto::LongBox box;
        Message clear, sealed;
        size_t left = 0;
    };
    bool seal_first(Outbox& clear);

    zmtp::CurveTraffic& traffic_;
    Outbox ready_;
    std::unique_ptr<Large> large_;
};

}  // namespace laplace

#endif
