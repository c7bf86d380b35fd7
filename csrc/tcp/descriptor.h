// A socket as the system numbers it. Whoever opened one closes it: it is a number, no owner.
#ifndef LAPLACE_DESCRIPTOR_H
#define LAPLACE_DESCRIPTOR_H

#include <cstdint>

namespace laplace {

#ifdef _WIN32
using Descriptor = uintptr_t;  // SOCKET, without Windows' headers
#else
using Descriptor = int;
#endif
constexpr Descriptor no_descriptor = static_cast<Descriptor>(-1);

}  // namespace laplace

#endif
