// A file of its own, so that the compiler does not see what is in the operators.
#include "support/failing_memory.h"

#include <cstdlib>
#include <new>

namespace {

void* allocate(std::size_t size) noexcept {
    return failing_memory::fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

}  // namespace

void* operator new(std::size_t size) {
    if (void* const memory = allocate(size)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
