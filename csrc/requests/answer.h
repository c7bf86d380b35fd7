// What is sent to who asked.
#ifndef LAPLACE_ANSWER_H
#define LAPLACE_ANSWER_H

#include <vector>

#include "base/counters.h"
#include "documents/documents.h"
#include "transport/route.h"

namespace laplace {

struct Answer {
    Message reply;
    std::vector<Message> arrays;  // further frames
    Taken taken;  // a value only this reply carries
    unsigned command = 0;
    ErrorKind error = ErrorKind::none;
    bool native = true;
    bool denied = false;  // its error is that the role of who asked does not permit it

    size_t size() const noexcept { return reply.size() + size_of(arrays.data(), arrays.size()); }
};

}  // namespace laplace

#endif
