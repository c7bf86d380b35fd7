// The limit: a ROUTER that sends every message back, without Python and without looking at it.
//
//     echo LIBZMQ        prints its port, ends when its standard input closes
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "zmq_api.h"

using laplace::zmq;

int main(int count, char** arguments) {
    if (count != 2 || laplace::load_zmq(arguments[1], false, nullptr) != laplace::load_status::loaded) {
        std::fprintf(stderr, "usage: echo LIBZMQ\n");
        return 1;
    }
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
    laplace::zmq_msg frame;
    zmq.msg_init(&frame);
    for (;;) {
        if (zmq.msg_recv(&frame, router, 0) < 0) continue;
        const int flags = zmq.msg_more(&frame) ? laplace::ZMQ_SNDMORE : 0;
        zmq.msg_send(&frame, router, flags);
    }
}
