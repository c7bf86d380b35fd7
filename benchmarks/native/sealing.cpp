// The limit for streams over CURVE: one thread that makes a box of each array and writes it to a socket, and one
// that reads it whole, opens it and sums it. No queue; at neither end anything goes on at the same time.
//
//     sealing produce LIBSODIUM IMAGE_BYTES COPY       as `streams/process.py produce`, with RATE 0 alone
//     sealing subscribe LIBSODIUM IMAGE_BYTES PORT     as `streams/process.py subscribe`, from update 1 on
//
// An update is a box of IMAGE_BYTES of doubles, freshly allocated and written, which COPY 1 copies before. Its
// number is the nonce, so nothing else goes over the wire. Both ends have one key, which is no secret.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "crypto/box.h"
#include "crypto/keys.h"
#include "crypto/sodium.h"

using namespace laplace::crypto;

namespace {

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "sealing: %s (%s)\n", what, std::strerror(errno));
    std::_Exit(1);
}

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double pixel_of(long shot) { return static_cast<double>(shot % 1000); }

Nonce nonce_of(long shot) {
    char number[8];
    for (int i = 0; i < 8; ++i) number[i] = static_cast<char>(static_cast<unsigned long>(shot) >> (56 - 8 * i) & 0xFF);
    return Nonce::of_number("of the benchmark", number);
}

int new_socket() {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    if (descriptor < 0 || ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0) fail("no socket");
    return descriptor;
}

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
}

void send_all(int to, const char* bytes, size_t size) {
    for (size_t sent = 0; sent < size;) {
        const ssize_t now = ::send(to, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (now < 0 && errno != EINTR) fail("nothing can be sent");
        if (now > 0) sent += static_cast<size_t>(now);
    }
}

void receive_all(int from, char* room, size_t size) {
    for (size_t come = 0; come < size;) {
        const ssize_t now = ::recv(from, room + come, size - come, 0);
        if (now == 0 || (now < 0 && errno != EINTR)) fail("nothing can be received");
        if (now > 0) come += static_cast<size_t>(now);
    }
}

// Of an array, and of a byte that says whether it is the last: in the box, in front of a copy, or behind the box
// of the array as it is.
struct Box {
    explicit Box(size_t image) : image_bytes(image), bytes(box_overhead + 1 + image) {}
    char* text() { return bytes.data() + box_overhead; }
    const size_t image_bytes;
    std::vector<char> bytes;
};

void publish(int to, Box& box, const SharedKey& key, long shot, bool is_last, bool copy) {
    const std::unique_ptr<double[]> image(new double[box.image_bytes / sizeof(double)]);
    for (size_t i = 0; i < box.image_bytes / sizeof(double); ++i) image[i] = pixel_of(shot);
    unsigned char* const at = bytes_of(box.bytes.data());
    const Nonce nonce = nonce_of(shot);
    box.text()[0] = is_last ? 1 : 0;
    if (copy) {
        std::memcpy(box.text() + 1, image.get(), box.image_bytes);
        if (!seal_in_place(box.bytes.data(), 1 + box.image_bytes, nonce, key)) fail("no box");
    } else {
        const unsigned char* const from = reinterpret_cast<const unsigned char*>(image.get());
        if (sodium.box_easy_afternm(at, from, box.image_bytes, nonce.bytes, key.bytes) != 0) fail("no box");
        box.bytes.back() = is_last ? 1 : 0;
    }
    send_all(to, box.bytes.data(), box.bytes.size());
}

void produce(const SharedKey& key, size_t image_bytes, bool copy) {
    const int listener = new_socket();
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        fail("no port");
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    Box box(image_bytes);
    int to = -1;
    long shot = 0, count = 0;
    double rate = 0;
    int subscribers = 0, is_last = 0, is_busy = 0;
    while (std::scanf("%ld %lf %d %d %d", &count, &rate, &subscribers, &is_last, &is_busy) == 5) {
        if (to < 0 && subscribers == 1) {
            to = ::accept(listener, nullptr, nullptr);
            if (to < 0) fail("nobody connects");
            const char how = copy ? 1 : 0;
            send_all(to, &how, 1);
        }
        const double begin = now_s();
        for (long i = 1; i <= count; ++i) publish(to, box, key, shot + i, is_last != 0 && i == count, copy);
        std::printf("{\"first\": %ld, \"last\": %ld, \"begin\": %.9f, \"end\": %.9f}\n", shot + 1, shot + count, begin, now_s());
        std::fflush(stdout);
        shot += count;
    }
}

void subscribe(const SharedKey& key, size_t image_bytes, int port) {
    const int from = new_socket();
    const sockaddr_in address = loopback(port);
    if (::connect(from, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("cannot connect");
    std::printf("ready\n");
    std::fflush(stdout);
    char copied = 0;
    receive_all(from, &copied, 1);
    Box box(image_bytes);
    long shot = 0;
    for (bool is_last = false; !is_last;) {
        receive_all(from, box.bytes.data(), box.bytes.size());
        ++shot;
        const size_t sealed = copied != 0 ? box.bytes.size() : box.bytes.size() - 1;
        if (!open_in_place(box.bytes.data(), sealed, nonce_of(shot), key)) fail("a wrong box");
        is_last = (copied != 0 ? box.text()[0] : box.bytes.back()) != 0;
        const char* const image = box.text() + (copied != 0 ? 1 : 0);
        const size_t count = image_bytes / sizeof(double);
        double sums[4] = {};  // as pubsub.cpp
        for (size_t i = 0; i < count; ++i) {
            double pixel;
            std::memcpy(&pixel, image + i * sizeof pixel, sizeof pixel);
            sums[i % 4] += pixel;
        }
        if (sums[0] + sums[1] + sums[2] + sums[3] != pixel_of(shot) * static_cast<double>(count)) fail("a wrong image");
    }
    std::printf("{\"received\": %ld, \"missing\": 0, \"at\": %.9f, \"told\": null}\n", shot, now_s());
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fprintf(stderr, "usage: sealing produce|subscribe LIBSODIUM IMAGE_BYTES COPY|PORT\n");
        return 1;
    }
    void* const library = ::dlopen(arguments[2], RTLD_NOW);
    if (library == nullptr || load_sodium(::dlsym, library, nullptr) != SodiumStatus::loaded) fail("no libsodium");
    const size_t image_bytes = std::strtoull(arguments[3], nullptr, 10);
    SharedKey key;
    std::memset(key.bytes, 7, sizeof key.bytes);
    if (std::strcmp(arguments[1], "produce") == 0) {
        produce(key, image_bytes, arguments[4][0] == '1');
    } else {
        subscribe(key, image_bytes, std::atoi(arguments[4]));
    }
    std::_Exit(0);
}
