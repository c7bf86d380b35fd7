// Winsock is started before a process may use a socket or look up a name, and stopped as often as it
// was started. Who owns sockets owns one of these, and it outlives them. Elsewhere it does nothing.
#ifndef LAPLACE_NETWORK_H
#define LAPLACE_NETWORK_H

namespace laplace {

class Network {
public:
#ifdef _WIN32
    Network() noexcept = default;
    ~Network() { close(); }
    // Returns 0 or an errno.
    int open() noexcept;
    void close() noexcept;
#else
    int open() noexcept { return 0; }
    void close() noexcept {}
    Network() noexcept = default;
#endif
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

#ifdef _WIN32
private:
    bool started_ = false;
#endif
};

}  // namespace laplace

#endif
