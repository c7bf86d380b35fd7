// Names of threads, as debuggers, top and py-spy show them.
#ifndef LAPLACE_THREAD_NAME_H
#define LAPLACE_THREAD_NAME_H

namespace laplace {

// Names the calling thread. Linux shows 15 characters; where a system takes no name, nothing happens.
void name_this_thread(const char* name) noexcept;

}  // namespace laplace

#endif
