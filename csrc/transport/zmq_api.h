// libzmq as a table of function pointers, filled at import from the copy that
// pyzmq has loaded. The declarations are written by hand from libzmq's stable
// C ABI (zmq.h of 4.x), so the build needs no libzmq; zmq_api.cpp checks what
// can be checked at run time.
#ifndef LAPLACE_ZMQ_API_H
#define LAPLACE_ZMQ_API_H

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace laplace {

// Opaque, 64 bytes, pointer-aligned. It must never be copied bit by bit.
struct alignas(sizeof(void*)) zmq_msg {
    unsigned char opaque[64];
};
static_assert(sizeof(zmq_msg) == 64, "zmq_msg_t is 64 bytes in every libzmq 4.x");
static_assert(alignof(zmq_msg) == alignof(void*), "zmq_msg_t is pointer-aligned");

enum zmq_socket_type { ZMQ_PAIR = 0, ZMQ_DEALER = 5, ZMQ_ROUTER = 6 };

enum zmq_flag { ZMQ_DONTWAIT = 1, ZMQ_SNDMORE = 2 };

// Of a context.
constexpr int ZMQ_IO_THREADS = 1;
constexpr int ZMQ_THREAD_PRIORITY = 3;
constexpr int ZMQ_THREAD_SCHED_POLICY = 4;

enum zmq_option {
    ZMQ_ROUTING_ID = 5,
    ZMQ_SNDBUF = 11,
    ZMQ_LINGER = 17,
    ZMQ_MAXMSGSIZE = 22,
    ZMQ_SNDHWM = 23,
    ZMQ_RCVTIMEO = 27,
    ZMQ_LAST_ENDPOINT = 32,
    ZMQ_ROUTER_MANDATORY = 33,
    ZMQ_TCP_KEEPALIVE = 34,
    ZMQ_TCP_KEEPALIVE_CNT = 35,
    ZMQ_TCP_KEEPALIVE_IDLE = 36,
    ZMQ_TCP_KEEPALIVE_INTVL = 37,
    ZMQ_IPV6 = 42,
    ZMQ_ZAP_DOMAIN = 55,
    ZMQ_TCP_MAXRT = 80
};

enum zmq_event {
    ZMQ_EVENT_ACCEPTED = 0x0020,
    ZMQ_EVENT_DISCONNECTED = 0x0200
};

constexpr int ZMQ_HAUSNUMERO = 156384712;
constexpr int ZMQ_ETERM = ZMQ_HAUSNUMERO + 53;
#ifdef EHOSTUNREACH
constexpr int ZMQ_EHOSTUNREACH = EHOSTUNREACH;
#else
constexpr int ZMQ_EHOSTUNREACH = ZMQ_HAUSNUMERO + 17;
#endif

struct zmq_api {
    void (*version)(int* major, int* minor, int* patch);
    int (*errno_)();
    void* (*ctx_new)();
    int (*ctx_set)(void* context, int option, int value);
    int (*ctx_shutdown)(void* context);
    int (*ctx_term)(void* context);
    void* (*socket)(void* context, int type);
    int (*close)(void* socket);
    int (*setsockopt)(void* socket, int option, const void* value, size_t size);
    int (*getsockopt)(void* socket, int option, void* value, size_t* size);
    int (*bind)(void* socket, const char* endpoint);
    int (*unbind)(void* socket, const char* endpoint);
    int (*connect)(void* socket, const char* endpoint);
    int (*socket_monitor)(void* socket, const char* endpoint, int events);
    int (*send)(void* socket, const void* data, size_t size, int flags);
    int (*msg_init)(zmq_msg* msg);
    int (*msg_init_size)(zmq_msg* msg, size_t size);
    int (*msg_init_data)(zmq_msg* msg, void* data, size_t size, void (*free)(void*, void*), void* hint);
    int (*msg_close)(zmq_msg* msg);
    int (*msg_move)(zmq_msg* to, zmq_msg* from);
    int (*msg_copy)(zmq_msg* to, zmq_msg* from);
    void* (*msg_data)(zmq_msg* msg);
    size_t (*msg_size)(const zmq_msg* msg);
    int (*msg_more)(const zmq_msg* msg);
    int (*msg_recv)(zmq_msg* msg, void* socket, int flags);
    int (*msg_send)(zmq_msg* msg, void* socket, int flags);
};

// The one table of this process. Filled once, before any server exists.
extern zmq_api zmq;

enum class load_status { loaded, not_found, symbol_missing, too_old };

// Fills the table from the shared library at `path`. With `only_loaded`, a
// library that this process has not loaded already is not_found. A library's
// own dependencies are searched too, so the path of pyzmq's backend module does.
// `missing` (may be null) receives the name of the first symbol not found.
load_status load_zmq(const char* path, bool only_loaded, const char** missing) noexcept;

// Address of zmq_version in the table: two tables from one library have the same.
const void* zmq_identity() noexcept;

}  // namespace laplace

#endif
