// A Poller's descriptors by poll, on Windows by WSAPoll.
#ifndef LAPLACE_POLL_SET_H
#define LAPLACE_POLL_SET_H

#include <cstddef>
#include <vector>

#include "tcp/watch.h"

struct pollfd;

namespace laplace {

class PollSet {
public:
    PollSet() noexcept;
    ~PollSet();
    PollSet(const PollSet&) = delete;
    PollSet& operator=(const PollSet&) = delete;

    void close() noexcept {}
    int open() noexcept { return 0; }
    int add(Watch& watch, Interest interest) noexcept;
    int change(Watch& watch, Interest interest) noexcept;
    int remove(Watch& watch) noexcept;
    void prepare() noexcept;
    int wait_prepared(int milliseconds) noexcept;
    bool next(PollEvent& event) noexcept;

private:
    // In any order; a watch knows its place.
    std::vector<pollfd> wanted_;
    std::vector<Watch*> watches_;
    std::vector<pollfd> polled_;  // by the last wait; as many have room as are wanted
    size_t told_ = 0;             // the places before it were told of
};

}  // namespace laplace

#endif
