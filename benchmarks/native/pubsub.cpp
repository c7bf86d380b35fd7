// The limit for streams: an XPUB and a SUB that look at no more than a number, without Python.
//
//     pubsub produce LIBZMQ IMAGE_BYTES COPY [PUBLIC SECRET]    as `streams/process.py produce`, with RATE 0 alone
//     pubsub subscribe LIBZMQ IMAGE_BYTES PORT [PUBLIC SECRET]  as `streams/process.py subscribe`, from update 1 on
//
// With the producer's keys both speak CURVE; the subscriber's own are the same.
// An update is a frame of JSON, {"x":0.5,"shot":1}, and where IMAGE_BYTES is not 0, another one with
// that many bytes of doubles, freshly allocated and written; COPY 1 copies it into the message.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "transport/zmq_api.h"

using laplace::zmq;

namespace {

constexpr int ZMQ_SUB = 2, ZMQ_XPUB = 9;
constexpr int ZMQ_SUBSCRIBE = 6, ZMQ_RCVHWM = 24, ZMQ_XPUB_NODROP = 69;
constexpr long end_of_all = -1;
constexpr int high_water = 10'000, high_water_of_images = 32;  // as streams/work.py

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "pubsub: %s\n", what);
    std::_Exit(1);
}

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void set(void* socket, int option, int value) {
    if (zmq.setsockopt(socket, option, &value, sizeof value) != 0) fail("an option was refused");
}

void set(void* socket, int option, const char* key) {
    if (zmq.setsockopt(socket, option, key, std::strlen(key)) != 0) fail("a key was refused");
}

void use_curve(void* socket, bool produces, const char* public_key, const char* secret_key) {
    constexpr int ZMQ_CURVE_SERVER = 47, ZMQ_CURVE_PUBLICKEY = 48, ZMQ_CURVE_SECRETKEY = 49, ZMQ_CURVE_SERVERKEY = 50;
    if (produces) set(socket, ZMQ_CURVE_SERVER, 1);
    if (!produces) set(socket, ZMQ_CURVE_SERVERKEY, public_key);
    // A client has to have keys; who it is does not matter to this producer.
    set(socket, ZMQ_CURVE_PUBLICKEY, public_key);
    set(socket, ZMQ_CURVE_SECRETKEY, secret_key);
}

double pixel_of(long shot) { return static_cast<double>(shot % 1000); }

void let_go(void* data, void*) { std::free(data); }

void receive(laplace::zmq_msg* message, void* socket) {
    while (zmq.msg_recv(message, socket, 0) < 0) {
        if (zmq.errno_() != EINTR) fail("nothing can be received");
    }
}

void send(laplace::zmq_msg* message, void* socket, int flags) {
    while (zmq.msg_send(message, socket, flags) < 0) {
        if (zmq.errno_() != EINTR) fail("nothing can be sent");
    }
}

void publish(void* socket, long shot, bool is_last, size_t image_bytes, bool copy) {
    char text[64];
    const double x = is_last ? end_of_all : 0.5 * static_cast<double>(shot);
    const int size = std::snprintf(text, sizeof text, "{\"x\":%.1f,\"shot\":%ld}", x, shot);
    laplace::zmq_msg message;
    zmq.msg_init_size(&message, static_cast<size_t>(size));
    std::memcpy(zmq.msg_data(&message), text, static_cast<size_t>(size));
    send(&message, socket, image_bytes == 0 ? 0 : laplace::ZMQ_SNDMORE);
    if (image_bytes == 0) return;
    auto* const image = static_cast<double*>(std::malloc(image_bytes));
    if (image == nullptr) fail("no memory");
    for (size_t i = 0; i < image_bytes / sizeof(double); ++i) image[i] = pixel_of(shot);
    if (copy) {
        zmq.msg_init_size(&message, image_bytes);
        std::memcpy(zmq.msg_data(&message), image, image_bytes);
        std::free(image);
    } else {
        zmq.msg_init_data(&message, image, image_bytes, let_go, nullptr);
    }
    send(&message, socket, 0);
}

void produce(void* socket, size_t image_bytes, bool copy) {
    set(socket, ZMQ_XPUB_NODROP, 1);
    set(socket, laplace::ZMQ_SNDHWM, image_bytes == 0 ? high_water : high_water_of_images);
    if (zmq.bind(socket, "tcp://127.0.0.1:*") != 0) fail("no port");
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq.getsockopt(socket, laplace::ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) fail("no endpoint");
    std::printf("%s\n", std::strrchr(endpoint, ':') + 1);
    std::fflush(stdout);
    laplace::zmq_msg message;
    zmq.msg_init(&message);
    long shot = 0, count = 0;
    double rate = 0;
    int subscribers = 0, there = 0, is_last = 0, is_busy = 0;
    while (std::scanf("%ld %lf %d %d %d", &count, &rate, &subscribers, &is_last, &is_busy) == 5) {
        for (; there < subscribers; ++there) receive(&message, socket);
        const double begin = now_s();
        for (long i = 1; i <= count; ++i) publish(socket, shot + i, is_last != 0 && i == count, image_bytes, copy);
        std::printf("{\"first\": %ld, \"last\": %ld, \"begin\": %.9f, \"end\": %.9f}\n", shot + 1, shot + count, begin, now_s());
        std::fflush(stdout);
        shot += count;
    }
}

void subscribe(void* socket, size_t image_bytes, const std::string& port) {
    set(socket, ZMQ_RCVHWM, image_bytes == 0 ? high_water : high_water_of_images);
    if (zmq.setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) != 0) fail("cannot subscribe");
    if (zmq.connect(socket, ("tcp://127.0.0.1:" + port).c_str()) != 0) fail("cannot connect");
    std::printf("ready\n");
    std::fflush(stdout);
    laplace::zmq_msg message;
    zmq.msg_init(&message);
    long received = 0, missing = 0;
    for (bool is_last = false; !is_last;) {
        receive(&message, socket);
        const std::string text(static_cast<const char*>(zmq.msg_data(&message)), zmq.msg_size(&message));
        const size_t at = text.rfind(':');
        if (at == std::string::npos) fail("a wrong update");
        const long shot = std::strtol(text.c_str() + at + 1, nullptr, 10);
        if (shot <= received + missing) fail("an update came out of order");
        missing = shot - ++received;
        is_last = text.compare(0, 6, "{\"x\":-") == 0;
        if (image_bytes == 0) continue;
        receive(&message, socket);
        const auto* const image = static_cast<const double*>(zmq.msg_data(&message));
        const size_t count = zmq.msg_size(&message) / sizeof(double);
        double sums[4] = {};  // as NumPy: the compiler may not reorder one sum
        for (size_t i = 0; i < count; ++i) sums[i % 4] += image[i];
        if (sums[0] + sums[1] + sums[2] + sums[3] != pixel_of(shot) * static_cast<double>(count)) fail("a wrong image");
    }
    std::printf("{\"received\": %ld, \"missing\": %ld, \"at\": %.9f, \"told\": null}\n", received, missing, now_s());
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    if ((count != 5 && count != 7) || laplace::load_zmq(arguments[2], false, nullptr) != laplace::load_status::loaded) {
        std::fprintf(stderr, "usage: pubsub produce|subscribe LIBZMQ IMAGE_BYTES COPY|PORT [PUBLIC SECRET]\n");
        return 1;
    }
    const bool produces = std::strcmp(arguments[1], "produce") == 0;
    const size_t image_bytes = std::strtoull(arguments[3], nullptr, 10);
    void* const socket = zmq.socket(zmq.ctx_new(), produces ? ZMQ_XPUB : ZMQ_SUB);
    if (count == 7) use_curve(socket, produces, arguments[5], arguments[6]);
    if (produces) {
        produce(socket, image_bytes, arguments[4][0] == '1');
    } else {
        subscribe(socket, image_bytes, arguments[4]);
    }
    std::_Exit(0);  // what has not left is no one's any more
}
