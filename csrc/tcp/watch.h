// What a Poller is asked about one descriptor, and what it tells.
#ifndef LAPLACE_WATCH_H
#define LAPLACE_WATCH_H

#include <cstddef>

#include "tcp/descriptor.h"

namespace laplace {

// With none, only that it is broken is told.
enum class Interest : unsigned { none = 0, read = 1, write = 2, both = 3 };

constexpr bool wants(Interest interest, Interest one) noexcept {
    return (static_cast<unsigned>(interest) & static_cast<unsigned>(one)) != 0;
}

// Lies in whatever owns the descriptor.
struct Watch {
    Watch() noexcept = default;
    Watch(Descriptor watched_one, void* whose) noexcept : descriptor(watched_one), what(whose) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    Descriptor descriptor = no_descriptor;
    void* what = nullptr;  // the user's

    // The poller's.
    Interest interest = Interest::none;
    bool watched = false;
    size_t place = 0;  // in a PollSet
};

struct PollEvent {
    void* what;
    bool readable;  // there are bytes, a connection or the end
    bool writable;
    // An error, or both directions have ended; told until the watch is removed. Where reading is wanted it
    // is readable too: what came before is there to be received, and a receive says what happened. On
    // Windows also of a peer that only sends no more, unless reading is wanted.
    bool broken;
};

}  // namespace laplace

#endif
