#pragma once
#include <stddef.h>
#include <stdint.h>

/// libFuzzer's loop ("Using libFuzzer as a library" of its documentation); linked by `-sanitize=fuzzer`.
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*test)(const uint8_t *data, size_t size));
