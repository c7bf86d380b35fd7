// One socket, and what is moved over it without Python: a wait, and what it was waited for.
#ifndef LAPLACE_TRANSFER_H
#define LAPLACE_TRANSFER_H

#include <cstddef>
#include <cstdint>

#include "base/spin.h"
#include "tcp/descriptor.h"
#include "tcp/socket.h"

namespace laplace {

// Of a connection on which each message is the reply to one that was sent: where replies come within this
// time, to sleep and to wake takes longer than to ask again.
class ReplySpin : public Spin {
public:
    static constexpr uint64_t longest_ns = 100'000;

    ReplySpin() noexcept : Spin(longest_ns) {}
};

class Transfer {
public:
    // Who waits longer asks again. A signal that comes when a wait begins does not end it, and where closing
    // one direction of a socket does not wake who waits for it, nor does an interrupt.
#ifdef __linux__
    static constexpr int longest_wait_ms = 250;
#else
    static constexpr int longest_wait_ms = 50;
#endif

    Transfer() noexcept {}  // the pieces are left as they are
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    // Moves what can be moved; where that is nothing, waits for it as long as it may. It goes on until
    // something was received, or all of the room where that is wanted, all pieces have left, or the time is
    // over, also where there is always something to move. A signal ends the waiting.
    void carry_out() noexcept;

    // ---- what is asked
    Descriptor socket = no_descriptor;
    int milliseconds = 0;     // that it may go on, waiting or not
    bool connecting = false;  // its result comes first
    bool has_more = false;    // there is probably something to receive already
    bool wants_all = false;   // of the room
    char* room = nullptr;     // null: nothing is received
    size_t room_size = 0;
    size_t piece_count = 0;
    Piece pieces[most_pieces];  // to send
    Spin* spin = nullptr;       // where it may ask again for a while, before it sleeps

    // ---- what came of it
    bool decided = false;     // the result of connecting:
    int connect_error = 0;    // 0: somebody took it
    size_t received = 0;
    bool ended = false;       // nothing will be received any more;
    int receive_error = 0;    // 0: the peer sends no more
    size_t sent = 0;
    int send_error = 0;       // not 0: nothing will be sent any more
    int wait_error = 0;       // EINTR: a signal

private:
    bool is_through() const noexcept;
    bool is_awaiting_reply() const noexcept;
    bool ask_again() noexcept;
    bool wait() noexcept;
    void decide() noexcept;
    void receive() noexcept;
    void send() noexcept;

    bool readable_ = true, writable_ = true;
    uint64_t until_ = 0;  // on the clock in ns, once it has waited
    size_t first_ = 0;  // of the pieces, that has not left
};

}  // namespace laplace

#endif
