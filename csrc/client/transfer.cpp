#include "client/transfer.h"

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "tcp/wait.h"

namespace laplace {

namespace {

constexpr size_t most_received = size_t{1} << 28;  // some systems refuse more in one call

Interest interest_in(bool reading, bool writing) noexcept {
    if (reading) return writing ? Interest::both : Interest::read;
    return writing ? Interest::write : Interest::none;
}

}  // namespace

void Transfer::carry_out() noexcept {
    const bool spins = is_awaiting_reply();
    if (spins && ask_again()) {
        spin->over(now_ns());
        if (is_through()) return;
    // Where it is likely that nothing is there, a call that says so costs more than it is worth.
    } else if ((connecting || (milliseconds > 0 && !has_more)) && !wait()) {
        return;
    } else if (spins) {
        spin->over(now_ns());
    }
    for (;;) {
        if (connecting && writable_) decide();
        if (!connecting) {
            if (readable_) receive();
            if (writable_) send();
        }
        if (is_through() || milliseconds == 0 || !wait()) return;
    }
}

bool Transfer::is_through() const noexcept {
    if (decided || ended || send_error != 0) return true;
    if (received != 0 && (!wants_all || received == room_size)) return true;
    return piece_count != 0 && first_ == piece_count;
}

bool Transfer::is_awaiting_reply() const noexcept {
    return spin != nullptr && milliseconds > 0 && !connecting && !has_more && piece_count == 0 && room != nullptr;
}

// Instead of sleeping, where replies have come quickly. False: sleep.
bool Transfer::ask_again() noexcept {
    if (!spin->brisk()) {
        spin->sleep(now_ns());
        return false;
    }
    for (;;) {
        receive();
        if (received != 0 || ended) return true;
        if (!spin->again(now_ns())) return false;
        std::this_thread::yield();
    }
}

// False: nothing is ready, and the time is over.
bool Transfer::wait() noexcept {
    const bool reading = !connecting && room != nullptr;
    const Interest interest = interest_in(reading, connecting || first_ < piece_count);
    if (interest == Interest::none) return false;
    int left = milliseconds;
    const uint64_t now = now_ns();
    if (until_ == 0) {
        until_ = now + ns_of_ms(milliseconds);
    } else if (now >= until_) {
        return false;
    } else {
        left = static_cast<int>((until_ - now + ns_per_ms - 1) / ns_per_ms);
    }
    Readiness ready;
    wait_error = wait_for_socket(socket, interest, left, ready);
    readable_ = ready.readable;
    writable_ = ready.writable;
    return wait_error == 0 && (readable_ || writable_);
}

void Transfer::decide() noexcept {
    decided = true;
    connecting = false;
    connect_error = connecting_result(socket);
    if (connect_error != 0) readable_ = writable_ = false;
}

void Transfer::receive() noexcept {
    if (room == nullptr) return;
    const size_t size = std::min(room_size - received, most_received);
    const IoResult result = receive_bytes(socket, room + received, size);
    received += result.bytes;
    ended = result.state == IoState::closed || result.state == IoState::failed;
    receive_error = result.error;
}

void Transfer::send() noexcept {
    if (first_ == piece_count) return;
    const IoResult result = send_pieces(socket, pieces + first_, piece_count - first_);
    send_error = result.error;
    sent += result.bytes;
    for (size_t bytes = result.bytes; bytes > 0;) {
        Piece& piece = pieces[first_];
        const size_t size = std::min(piece.size, bytes);
        piece = {static_cast<const char*>(piece.data) + size, piece.size - size};
        bytes -= size;
        if (piece.size == 0) ++first_;
    }
}

}  // namespace laplace
