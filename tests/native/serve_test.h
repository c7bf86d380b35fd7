// The parts of serve_test, each in a file of its own.
#ifndef LAPLACE_TESTS_SERVE_TEST_H
#define LAPLACE_TESTS_SERVE_TEST_H

void lives_and_ends();
void answers_clients();

#endif
