// Tests of shared bytes: who frees them, when, and what happens without memory. Returns 1 if any failed.

#include "support/checks.h"
#include "support/failing_memory.h"

#include "transport/message.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using laplace::Message;

Message message_of(std::string_view text) {
    Message message;
    if (!message.allocate(text.size())) std::abort();
    if (!text.empty()) std::memcpy(message.data(), text.data(), text.size());
    return message;
}

// ---- bytes of its own

void empty_ones() {
    Message message;
    CHECK(message.size() == 0 && message.view().empty() && message.share().size() == 0);
    CHECK(message.allocate(0) && message.size() == 0);
    Message other = std::move(message);
    CHECK(other.view().empty());
    other = message_of("text");
    other = Message();
    CHECK(other.size() == 0 && other.data() == nullptr);
}

void moved() {
    Message first = message_of("text");
    const char* const bytes = first.data();
    Message second(std::move(first));
    CHECK(second.data() == bytes && second.view() == "text");
    Message third = message_of("other");
    third = std::move(second);
    CHECK(third.data() == bytes && third.view() == "text");
    Message& itself = third;
    third = std::move(itself);
    CHECK(third.view() == "text");
}

void bytes_are_shared() {
    Message first = message_of("text");
    Message second = first.share();
    const Message third = second.share();
    CHECK(second.data() == first.data() && third.data() == first.data());
    first = Message();
    second = message_of("other");
    CHECK(third.view() == "text" && second.view() == "other");
    first = third.share();
    CHECK(first.view() == "text");
}

void aligned_for_anything() {
    constexpr size_t sizes[] = {1, 7, 8, 100, 100000};
    for (const size_t size : sizes) {
        Message message;
        CHECK(message.allocate(size) && message.size() == size);
        CHECK(reinterpret_cast<uintptr_t>(message.data()) % alignof(std::max_align_t) == 0);
        std::memset(message.data(), 'x', size);
        CHECK(message.view() == std::string(size, 'x'));
    }
}

void more_or_fewer() {
    Message message;
    CHECK(message.resize(3));
    std::memcpy(message.data(), "abc", 3);
    std::string wanted = "abc";
    for (size_t size = 4; size < 200000; size = 2 * size + 1) {
        const size_t before = message.size();
        CHECK(message.resize(size));
        std::memset(message.data() + before, 'd', size - before);
        wanted.append(size - before, 'd');
        CHECK(message.view() == wanted);
    }
    const Message shared = message.share();
    CHECK(shared.view() == wanted);
    message = message_of("abcdef");
    CHECK(message.resize(2) && message.view() == "ab");
    CHECK(message.resize(0) && message.view().empty());
    CHECK(message.resize(1) && message.size() == 1);
    CHECK(message.allocate(5) && message.size() == 5);
}

// Large bytes lie in memory of another kind.
void to_large_and_back() {
    const size_t sizes[] = {1, 100'000, 3'000'000, 1'048'575, 1'048'576, 7'000'001, 2'000'000, 5};
    Message message;
    std::string wanted;
    for (const size_t size : sizes) {
        const size_t before = message.size();
        CHECK(message.resize(size));
        for (size_t i = before; i < size; ++i) message.data()[i] = static_cast<char>('a' + i % 26);
        wanted.resize(std::min(size, before));
        for (size_t i = before; i < size; ++i) wanted.push_back(static_cast<char>('a' + i % 26));
        CHECK(message.view() == wanted);
        Message same;
        CHECK(same.allocate(size));
        std::memcpy(same.data(), wanted.data(), size);
        const Message shared = same.share();
        same = Message();
        CHECK(shared.view() == wanted);
    }
}

// Where nothing can be that large, nothing changes.
void sizes_that_cannot_be() {
    Message message = message_of("text");
    const Message shared = message.share();
    const char* const bytes = message.data();
    for (size_t less = 0; less < 64; ++less) CHECK(!Message().resize(SIZE_MAX - less));
    Message own = message_of("text");
    for (size_t less = 0; less < 64; ++less) CHECK(!own.resize(SIZE_MAX - less) && own.view() == "text");
    for (size_t less = 0; less < 64; ++less) {
        Message large = message_of("before");
        CHECK(!large.allocate(SIZE_MAX - less) && large.size() == 0);
        CHECK(large.allocate(4));
    }
    CHECK(message.data() == bytes && shared.view() == "text");
}

void without_memory() {
    Message message = message_of("text");
    {
        const failing_memory::At first(1);
        CHECK(!message.resize(100));
    }
    CHECK(message.view() == "text" && message.resize(100));
    {
        const failing_memory::At first(1);
        CHECK(!message.allocate(100) && message.size() == 0);
    }
    const Message shared = message_of("shared");
    {
        const failing_memory::At first(1);
        const Message other = shared.share();  // needs none
        CHECK(other.view() == "shared");
        CHECK(Message().allocate(0));
        CHECK(!first.reached());
    }
}

// ---- bytes of others

struct Owner {
    std::atomic<int> released{0};
    std::atomic<void*> data{nullptr};
    std::thread::id by{};

    static void release(void* data, void* owner) {
        Owner& self = *static_cast<Owner*>(owner);
        self.by = std::this_thread::get_id();
        self.data.store(data);
        ++self.released;
    }
};

void borrowed_until_the_last_has_gone() {
    char bytes[] = "text";
    Owner owner;
    Message first;
    CHECK(first.borrow(bytes, 4, &Owner::release, &owner));
    CHECK(first.data() == bytes && first.view() == "text");
    Message second = first.share();
    first = Message();
    CHECK(owner.released == 0 && second.view() == "text");
    first = std::move(second);
    second = message_of("other");
    CHECK(owner.released == 0);
    CHECK(first.allocate(3) && owner.released == 1 && owner.data == bytes);
    // What it held before is let go for what it borrows.
    Owner other;
    CHECK(first.borrow(bytes, 2, &Owner::release, &owner) && first.view() == "te");
    CHECK(first.borrow(bytes, 0, &Owner::release, &other));
    CHECK(owner.released == 2 && other.released == 0 && first.size() == 0);
    first = Message();
    CHECK(other.released == 1);
}

void nothing_is_borrowed_without_memory() {
    char bytes[] = "text";
    Owner owner;
    Message message = message_of("before");
    {
        const failing_memory::At first(1);
        CHECK(!message.borrow(bytes, 4, &Owner::release, &owner));
    }
    CHECK(message.size() == 0 && owner.released == 0);  // the bytes stay the caller's
    message = Message();
    CHECK(owner.released == 0);
}

void released_in_another_thread() {
    char bytes[] = "text";
    Owner owner;
    Message message;
    CHECK(message.borrow(bytes, 4, &Owner::release, &owner));
    std::thread::id other;
    std::thread last([&, taken = std::move(message)]() mutable {
        other = std::this_thread::get_id();
        taken = Message();
    });
    last.join();
    CHECK(owner.released == 1 && owner.by == other && other != std::this_thread::get_id());
}

// Whoever is last: each is released once, and nobody reads what is freed.
void shared_by_many_threads() {
    constexpr int threads = 4, rounds = 20;
    std::vector<char> bytes(1000, 'x');
    Owner owner;
    for (int round = 0; round < rounds; ++round) {
        Message borrowed, own = message_of(std::string(1000, 'y'));
        if (!borrowed.borrow(bytes.data(), bytes.size(), &Owner::release, &owner)) std::abort();
        std::vector<std::thread> all;
        std::atomic<int> wrong{0};
        for (int i = 0; i < threads; ++i) {
            all.emplace_back([&wrong, a = borrowed.share(), b = own.share()]() mutable {
                for (int n = 0; n < 100; ++n) {
                    const Message c = a.share();
                    Message d = b.share();
                    b = std::move(d);
                    if (c.view().back() != 'x' || b.view().back() != 'y') ++wrong;
                }
            });
        }
        borrowed = Message();
        own = Message();
        for (std::thread& thread : all) thread.join();
        CHECK(wrong == 0 && owner.released == round + 1);
    }
}

}  // namespace

int main() {
    laplace::message_memory_fails = [](size_t size) noexcept {
        constexpr size_t most = size_t{1} << 30;  // as no system has it, and some sanitizers do not try
        return size > most || failing_memory::fails();
    };
    empty_ones();
    moved();
    bytes_are_shared();
    aligned_for_anything();
    more_or_fewer();
    to_large_and_back();
    sizes_that_cannot_be();
    without_memory();
    borrowed_until_the_last_has_gone();
    nothing_is_borrowed_without_memory();
    released_in_another_thread();
    shared_by_many_threads();
    return checks::status();
}
