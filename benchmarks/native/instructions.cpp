// What the loop itself executes, without libzmq and without a network: for counting instructions.
//
//     instructions scan|get COUNT
//
// scan: the envelope scanner on a typical request. get: the whole loop answering a GET of two floats,
// with a socket made of memory in the place of libzmq's. The difference of two runs with different
// counts is what the difference of the counts costs.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "loop.h"

namespace laplace {

zmq_api zmq{};

}  // namespace laplace

namespace {

using laplace::zmq_msg;

constexpr std::string_view request =
    R"({"from": "bench", "to": "device", "cmd": "GET", "payload": {}, "version": "0.2.2", "error_msg": null, "msg": null})";
constexpr std::string_view frames[] = {{"\0four", 5}, {}, request};

// A message of the memory socket: bytes that it may share with others, and whether more follows.
struct memory_bytes {
    long references;
    char first[1];
};
struct memory_msg {
    memory_bytes* bytes;
    size_t size;
    int more;
};
static_assert(sizeof(memory_msg) <= sizeof(zmq_msg));

memory_msg& as_memory(zmq_msg* msg) { return *reinterpret_cast<memory_msg*>(msg); }
const memory_msg& as_memory(const zmq_msg* msg) { return *reinterpret_cast<const memory_msg*>(msg); }

long left = 0;
size_t next_frame = 0;
size_t sent_frames = 0, sent_bytes = 0;

int msg_init(zmq_msg* msg) {
    as_memory(msg) = {nullptr, 0, 0};
    return 0;
}
int msg_init_size(zmq_msg* msg, size_t size) {
    as_memory(msg) = {static_cast<memory_bytes*>(std::malloc(sizeof(memory_bytes) + size)), size, 0};
    if (as_memory(msg).bytes == nullptr) return -1;
    as_memory(msg).bytes->references = 1;
    return 0;
}
int msg_close(zmq_msg* msg) {
    memory_bytes* bytes = as_memory(msg).bytes;
    if (bytes != nullptr && --bytes->references == 0) std::free(bytes);
    return msg_init(msg);
}
int msg_move(zmq_msg* to, zmq_msg* from) {
    msg_close(to);
    as_memory(to) = as_memory(from);
    return msg_init(from);
}
int msg_copy(zmq_msg* to, zmq_msg* from) {
    msg_close(to);
    as_memory(to) = as_memory(from);
    if (as_memory(to).bytes != nullptr) ++as_memory(to).bytes->references;
    return 0;
}
void* msg_data(zmq_msg* msg) { return as_memory(msg).bytes == nullptr ? nullptr : as_memory(msg).bytes->first; }
size_t msg_size(const zmq_msg* msg) { return as_memory(msg).size; }
int msg_more(const zmq_msg* msg) { return as_memory(msg).more; }
int msg_recv(zmq_msg* msg, void*, int) {
    if (left == 0) return -1;
    msg_close(msg);
    const std::string_view frame = frames[next_frame];
    if (!frame.empty()) {
        if (msg_init_size(msg, frame.size()) != 0) std::abort();
        std::memcpy(as_memory(msg).bytes->first, frame.data(), frame.size());
    }
    next_frame = (next_frame + 1) % std::size(frames);
    as_memory(msg).more = next_frame != 0;
    if (next_frame == 0) --left;
    return static_cast<int>(frame.size());
}
int msg_send(zmq_msg* msg, void*, int) {
    ++sent_frames;
    sent_bytes += as_memory(msg).size;
    return msg_close(msg);
}
int setsockopt(void*, int, const void*, size_t) { return 0; }
int error() { return laplace::ZMQ_ETERM; }

laplace::ReplyTemplate get_template() {
    using laplace::ReplyTemplate;
    ReplyTemplate text;
    text.pieces = {{R"({"from":"device","to":)", laplace::HOLE_TO},
                   {R"(,"cmd":"GET","msg":"Current data.","payload":{"data":)", laplace::HOLE_BODY},
                   {R"(},"version":)", laplace::HOLE_VERSION},
                   {R"(,"error_msg":null})", laplace::HOLE_COUNT}};
    return text;
}

int answer(long count) {
    laplace::zmq_api& table = laplace::zmq;
    table.msg_init = msg_init;
    table.msg_init_size = msg_init_size;
    table.msg_close = msg_close;
    table.msg_move = msg_move;
    table.msg_copy = msg_copy;
    table.msg_data = msg_data;
    table.msg_size = msg_size;
    table.msg_more = msg_more;
    table.msg_recv = msg_recv;
    table.msg_send = msg_send;
    table.setsockopt = setsockopt;
    table.errno_ = error;

    laplace::Config config;
    config.spin_us = 0;  // how often the clock is read must not depend on the clock
    laplace::Shared shared(config);
    auto dispatch = std::make_shared<laplace::DispatchTable>();
    dispatch->commands = {{"PING", laplace::ACTION_PING, 1}, {"INFO", laplace::ACTION_INFO, 2}, {"GET", laplace::ACTION_GET, 3}};
    dispatch->accepted_versions = {"0.2.2"};
    dispatch->get = get_template();
    shared.set_table(dispatch);
    bool serves = false;
    const auto data = std::make_shared<const std::string>(R"({"values":[1.5,1.6428571428571428]})");
    shared.documents.replace(laplace::DOCUMENT_DATA, data, false, false, serves);
    left = count;
    laplace::Loop loop(shared, nullptr, "wake", config.spin_us);
    loop.run();
    const size_t size = sent_bytes / static_cast<size_t>(count);
    std::printf("%zu replies of %zu bytes with their route\n", sent_frames / std::size(frames), size);
    return sent_frames == static_cast<size_t>(count) * std::size(frames) && size > 150 ? 0 : 1;
}

int scan(long count) {
    int certain = 0;
    for (long i = 0; i < count; ++i) {
        ls_envelope envelope{};
        certain += ls_scan(request.data(), request.size(), &envelope) == LS_CERTAIN;
    }
    std::printf("%d scans\n", certain);
    return certain == count ? 0 : 1;
}

}  // namespace

int main(int arguments, char** values) {
    const long count = arguments == 3 ? std::atol(values[2]) : 0;
    if (count <= 0) {
        std::fprintf(stderr, "usage: instructions scan|get COUNT\n");
        return 2;
    }
    return std::string_view(values[1]) == "scan" ? scan(count) : answer(count);
}
