// What Python made of jobs, on its way to the loop.
#ifndef LAPLACE_RESULT_QUEUE_H
#define LAPLACE_RESULT_QUEUE_H

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "requests/job_queue.h"
#include "streams/subscribers.h"

namespace laplace {

struct Result : PythonReply {
    Grant grant;  // the subscription that begins with the reply
    std::string refusal;  // the reply where its connection has as many as it may have
    bool busy = false;  // Python had no memory for the job: there is no reply
};

class ResultQueue {
public:
    void push(Result&& result) {
        const std::lock_guard<std::mutex> lock(mutex_);
        results_.push_back(std::move(result));
    }
    std::vector<Result> take() noexcept {
        std::vector<Result> results;
        const std::lock_guard<std::mutex> lock(mutex_);
        results.swap(results_);
        return results;
    }

private:
    std::mutex mutex_;
    std::vector<Result> results_;
};

}  // namespace laplace

#endif
