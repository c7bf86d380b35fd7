// Binds to each endpoint of standard input, which end with a NUL, and writes a line for each: the errno and
// what was bound, or "0 tcp://…".

#include "tcp/listener.h"
#include "tcp/network.h"
#include "tcp/socket.h"

#include <iostream>
#include <string>

int main() {
    laplace::Network network;
    if (network.open() != 0) return 1;
    for (std::string endpoint; std::getline(std::cin, endpoint, '\0');) {
        laplace::Descriptor opened = laplace::no_descriptor;
        std::string bound;
        std::cout << laplace::open_listener(endpoint, 100, 0, opened, bound) << ' ' << bound << '\n';
        if (opened != laplace::no_descriptor) laplace::close_socket(opened);
    }
    return 0;
}
