// The limit: a ROUTER that answers without Python and without looking at what it gets.
//
//     echo LIBZMQ FILE [SECRET]      prints its port, ends when its standard input closes
//
// The last frame of every message is replaced by what is in FILE, which is read once and shared by all replies,
// not copied. With a SECRET key it speaks CURVE, with everybody.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "transport/zmq_api.h"

using laplace::zmq;

int main(int count, char** arguments) {
    if (count < 3 || count > 4 || laplace::load_zmq(arguments[1], false, nullptr) != laplace::load_status::loaded) {
        std::fprintf(stderr, "usage: echo LIBZMQ FILE [SECRET]\n");
        return 1;
    }
    std::ifstream file(arguments[2], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    laplace::zmq_msg reply, frame;
    if (!file || zmq.msg_init_size(&reply, text.size()) != 0) return 1;
    std::memcpy(zmq.msg_data(&reply), text.data(), text.size());
    void* context = zmq.ctx_new();
    void* router = zmq.socket(context, laplace::ZMQ_ROUTER);
    if (count == 4) {
        constexpr int ZMQ_CURVE_SERVER = 47, ZMQ_CURVE_SECRETKEY = 49, yes = 1;
        if (zmq.setsockopt(router, ZMQ_CURVE_SERVER, &yes, sizeof yes) != 0) return 1;
        if (zmq.setsockopt(router, ZMQ_CURVE_SECRETKEY, arguments[3], std::strlen(arguments[3])) != 0) return 1;
    }
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
        if (last) zmq.msg_copy(&frame, &reply);
        zmq.msg_send(&frame, router, last ? 0 : laplace::ZMQ_SNDMORE);
    }
}
