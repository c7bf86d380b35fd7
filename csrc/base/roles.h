// Who may do what, as numbers: a connection has a role, and a command the set of roles that may ask for it.
// What the numbers mean is Python's; a number never changes its meaning while a server lives.
#ifndef LAPLACE_ROLES_H
#define LAPLACE_ROLES_H

#include <cstdint>

namespace laplace {

using Role = uint8_t;
using Roles = uint64_t;  // a bit for each

constexpr unsigned max_roles = 64;
constexpr Role anonymous_role = 0;  // of connections without a key
// Of a key of a client, given by Python: the same key has the same as long as a server lives.
constexpr uint32_t no_key = 0;
constexpr Roles all_roles = ~Roles{0};

constexpr bool includes(Roles roles, Role role) noexcept { return role < max_roles && (roles >> role & 1) != 0; }

}  // namespace laplace

#endif
