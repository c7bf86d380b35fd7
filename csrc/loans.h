// Objects of Python whose memory libzmq reads. Its threads say when one is read, without Python, and
// ring for the refresher; it is let go with the GIL, by whoever looks first.
#ifndef LAPLACE_LOANS_H
#define LAPLACE_LOANS_H

#include <atomic>
#include <memory>
#include <new>

#include "bell.h"
#include "message.h"

namespace laplace {

struct Loan {
    void* object;
    Loan* next;
    std::shared_ptr<Bell> bell;  // of the server that lent it
};

// Of the process, not of a server: a message may outlive it.
inline std::atomic<Loan*> returned_loans{nullptr};

inline void return_loan(void*, void* hint) noexcept {
    Loan* const loan = static_cast<Loan*>(hint);
    // Another thread may free the loan once it is in the list.
    const std::shared_ptr<Bell> bell = std::move(loan->bell);
    loan->next = returned_loans.load(std::memory_order_relaxed);
    while (!returned_loans.compare_exchange_weak(loan->next, loan, std::memory_order_release,
                                                 std::memory_order_relaxed)) {
    }
    bell->loan_returned();
}

// Makes a message of an object's memory. False without memory; then the object stays the caller's.
[[nodiscard]] inline bool lend(Message& message, void* object, void* data, size_t size,
                               const std::shared_ptr<Bell>& bell) noexcept {
    Loan* const loan = new (std::nothrow) Loan{object, nullptr, bell};
    if (loan == nullptr) return false;
    if (message.borrow(data, size, &return_loan, loan)) return true;
    delete loan;
    return false;
}

inline bool any_returned() noexcept { return returned_loans.load(std::memory_order_relaxed) != nullptr; }

// All that can be let go, linked; they are the caller's.
inline Loan* take_returned() noexcept { return returned_loans.exchange(nullptr, std::memory_order_acquire); }

inline void free_loan(Loan* loan) noexcept { delete loan; }

}  // namespace laplace

#endif
