// The limit: a ROUTER that answers without Python and without looking at what it gets.
//
//     echo LIBZMQ BYTES      prints its port, ends when its standard input closes
//
// BYTES 0: every message goes back as it came. Else the last frame is replaced by one of that size,
// which is made once and shared by all replies, not copied.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "zmq_api.h"

using laplace::zmq;

int main(int count, char** arguments) {
    if (count != 3 || laplace::load_zmq(arguments[1], false, nullptr) != laplace::load_status::loaded) {
        std::fprintf(stderr, "usage: echo LIBZMQ BYTES\n");
        return 1;
    }
    const size_t bytes = std::strtoull(arguments[2], nullptr, 10);
    laplace::zmq_msg reply, frame;
    if (zmq.msg_init_size(&reply, bytes) != 0) return 1;
    std::memset(zmq.msg_data(&reply), 'x', bytes);
    void* context = zmq.ctx_new();
    void* router = zmq.socket(context, laplace::ZMQ_ROUTER);
    if (zmq.bind(router, "tcp://127.0.0.1:*") != 0) return 1;
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq.getsockopt(router, laplace::ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) return 1;
    std::printf("%s\n", std::strrchr(endpoint, ':') + 1);
    std::fflush(stdout);
    std::thread([] {
        while (std::getchar() != EOF) {
        }
        std::_Exit(0);
    }).detach();
    zmq.msg_init(&frame);
    for (;;) {
        if (zmq.msg_recv(&frame, router, 0) < 0) continue;
        const bool last = zmq.msg_more(&frame) == 0;
        if (last && bytes > 0) zmq.msg_copy(&frame, &reply);
        zmq.msg_send(&frame, router, last ? 0 : laplace::ZMQ_SNDMORE);
    }
}
