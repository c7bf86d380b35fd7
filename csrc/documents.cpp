#include "documents.h"

#include <utility>

namespace laplace {

// std::mutex::lock may only fail through misuse (EDEADLK, EPERM); the noexcept
// functions below would then end the process, which is right for a broken lock.
using Lock = std::unique_lock<std::mutex>;

Documents::Documents(Text empty) noexcept : empty_(std::move(empty)) {
    for (Document& document : documents_) document.content.text = empty_;
}

uint64_t Documents::replace(document_id which, Text text, bool live, bool& serves) noexcept {
    Lock lock(mutex_);
    Document& document = at(which);
    document.content.unmade = text == nullptr;
    if (text != nullptr) {
        std::swap(document.content.text, text);  // the old text is freed after the lock
        document.content.is_error = false;
    }
    document.content.live = live;
    document.content.generation = ++last_generation_;
    const uint64_t generation = document.content.generation;
    serves = !live && document.wanted > document.done;
    if (!live) document.done = document.wanted;
    lock.unlock();
    return generation;
}

uint64_t Documents::generation(document_id which) noexcept {
    const Lock lock(mutex_);
    return at(which).content.generation;
}

bool Documents::is_live(document_id which) noexcept {
    const Lock lock(mutex_);
    return at(which).content.live;
}

void Documents::mark_live(document_id which, uint64_t generation) noexcept {
    const Lock lock(mutex_);
    Document& document = at(which);
    if (document.content.generation == generation) document.content.live = true;
}

void Documents::take_locked(Document& document, Taken* taken) noexcept {
    // An error is told to everybody, and what is empty already is no value to hand over:
    // its generation stays, so that an undelivered value can still be put back.
    const Content& content = document.content;
    if (content.is_error || content.unmade || content.text == empty_) return;
    Content empty;
    empty.text = empty_;
    empty.generation = ++last_generation_;
    taken->successor = empty.generation;
    taken->content = std::move(document.content);
    document.content = std::move(empty);
}

bool Documents::read(document_id which, bool take, uint64_t& wanted, Content& content,
                     Taken* taken) noexcept {
    const Lock lock(mutex_);
    Document& document = at(which);
    if (document.content.live && (wanted == 0 || document.done < wanted)) {
        if (wanted == 0) {
            wanted = ++document.wanted;
            look_due_.notify_one();
        }
        return false;
    }
    content = document.content;
    if (take) take_locked(document, taken);
    return true;
}

void Documents::read_newest(document_id which, bool take, Content& content, Taken* taken) noexcept {
    const Lock lock(mutex_);
    Document& document = at(which);
    content = document.content;
    if (take) take_locked(document, taken);
}

void Documents::put_back(document_id which, const Taken& taken) noexcept {
    const Lock lock(mutex_);
    Document& document = at(which);
    if (document.content.generation == taken.successor) document.content = taken.content;
}

void Documents::ask_look(document_id which) noexcept {
    const Lock lock(mutex_);
    at(which).look_asked = true;
    look_due_.notify_one();
}

int Documents::wait_look() noexcept {
    Lock lock(mutex_);
    for (;;) {
        if (closed_) return -1;
        for (int which = 0; which < DOCUMENT_COUNT; ++which) {
            Document& document = at(static_cast<document_id>(which));
            const bool due = document.look_asked || document.wanted > document.done;
            if (due && document.content.live) return which;
            document.look_asked = false;
        }
        look_due_.wait(lock);
    }
}

Look Documents::begin_look(document_id which) noexcept {
    const Lock lock(mutex_);
    Document& document = at(which);
    document.look_asked = false;
    return {document.content.generation, document.wanted};
}

bool Documents::finish_look(document_id which, const Look& look, Text text, bool is_error,
                            bool live) noexcept {
    Lock lock(mutex_);
    Document& document = at(which);
    if (document.content.generation != look.generation) return false;
    std::swap(document.content.text, text);
    document.content.unmade = false;
    document.content.is_error = is_error;
    document.content.live = live;
    // What is frozen has not changed since, so it also serves those who came during the look.
    const uint64_t done = live ? look.covers : document.wanted;
    const bool serves = done > document.done;
    if (serves) document.done = done;
    lock.unlock();
    return serves;
}

void Documents::close() noexcept {
    const Lock lock(mutex_);
    closed_ = true;
    look_due_.notify_all();
}

}  // namespace laplace
