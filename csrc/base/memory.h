// Memory that grows with what peers send, and goes back to the system when it is freed where it is large:
// the C library keeps what was freed, and keeps the more the larger it was.
#ifndef LAPLACE_MEMORY_H
#define LAPLACE_MEMORY_H

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace laplace {

#ifdef __linux__

// From this size on, what grows is the system's own. Its pages come as they are written to, so smaller
// ones are faster to have from the C library, and so is what has its size from the beginning and is
// wanted again and again.
constexpr size_t large_memory = size_t{1} << 20;

inline void free_memory(void* memory, size_t size, bool is_mapped) noexcept {
    if (is_mapped) {
        munmap(memory, size);
    } else {
        std::free(memory);
    }
}

// As realloc does: null without memory, and then what was there stays. `size` is not 0. `is_mapped` says
// whose memory it is, before and after.
inline void* resize_memory(void* memory, size_t old_size, size_t size, bool& is_mapped) noexcept {
    if (!is_mapped && size < large_memory) return std::realloc(memory, size);
    void* moved = MAP_FAILED;
    if (is_mapped && size >= large_memory) {
        moved = mremap(memory, old_size, size, MREMAP_MAYMOVE);
        return moved == MAP_FAILED ? nullptr : moved;
    }
    if (size >= large_memory) {
        moved = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (moved == MAP_FAILED) return nullptr;
    } else {
        moved = std::malloc(size);
        if (moved == nullptr) return nullptr;
    }
    if (memory != nullptr) {
        std::memcpy(moved, memory, std::min(old_size, size));
        free_memory(memory, old_size, is_mapped);
    }
    is_mapped = size >= large_memory;
    return moved;
}

#else

inline void free_memory(void* memory, size_t, bool) noexcept { std::free(memory); }
inline void* resize_memory(void* memory, size_t, size_t size, bool&) noexcept { return std::realloc(memory, size); }

#endif

// What the C library keeps of memory that was freed goes back to the system. It looks through all of the
// program's memory for that, and who else wants some may have to wait.
inline void give_back_memory() noexcept {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace laplace

#endif
