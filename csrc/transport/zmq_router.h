// The router over libzmq: the reference against which our own is tested, and for who wants it.
#ifndef LAPLACE_ZMQ_ROUTER_H
#define LAPLACE_ZMQ_ROUTER_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "transport/router.h"
#include "transport/zmq_frame.h"
#include "transport/zmq_sockets.h"

namespace laplace {

class ZmqRouter final : public Router {
public:
    struct Options {
        int64_t max_message_bytes = -1;    // of a frame, -1 for any
        size_t most_in_flight = SIZE_MAX;  // bytes of large messages that libzmq may hold of a connection
        bool real_time = false;            // libzmq's threads, too
    };
    ZmqRouter(Options options, WakeUp& wake_up, Counters& counters);
    ~ZmqRouter() override { close(0); }

    int open(const std::string& address) noexcept override;
    void start() override { sockets_.watch(); }
    void close(int linger_ms) noexcept override;

    Got receive(Received& message, int wait_ms, bool may_spin, int& error) override;
    Sent send(Connection& to, std::string_view route, const Message& body,
              const std::vector<Message>& more) override;
    bool flush(Connection&) noexcept override { return true; }
    void finish(Connection&) noexcept override {}  // libzmq closes no connection by itself
    void settled(Connection&) noexcept override {}
    bool take_room() noexcept override { return false; }
    uint64_t retry_ns() const noexcept override { return 1000000; }

    // For tests, which have a socket of their own: in place of open().
    void use_socket(void* socket) noexcept { socket_ = socket; }

private:
    // Known by its routing id.
    struct Known final : Connection {
        Known() noexcept { tells_its_end_ = false; }
        std::string id;
        // Bytes of large messages to it that libzmq has and the network has not. libzmq frees them in its
        // own threads, maybe after the record has gone.
        ZmqFrame::Account in_flight;
    };

    bool await_frame(bool may_spin, int& error);
    bool receive_others(int& error);
    ZmqFrame* add_frames();
    void skip_others(ZmqFrame& frame) noexcept;
    void set_timeout(int milliseconds) noexcept;
    Known& known(std::string_view id);
    void encode_route(size_t count);
    Sent send_frame(ZmqFrame& frame, bool more_follow) noexcept;

    static constexpr size_t large_message = 64 * 1024;  // smaller ones libzmq's high-water mark bounds

    const Options options_;
    ZmqSockets sockets_;
    void* socket_ = nullptr;
    std::vector<ZmqFrame> frames_;
    size_t frame_count_ = 0;
    std::string route_;
    int timeout_ms_ = -1;
    std::unordered_map<std::string, ConnectionRef> connections_;
};

}  // namespace laplace

#endif
