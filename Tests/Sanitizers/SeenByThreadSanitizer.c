/* Shows ThreadSanitizer how Swift's libraries order threads. Preloaded by `Tests/run sanitize`; nothing else uses it.
 *
 * Swift's libraries are not instrumented, so what they do between two threads is invisible unless they tell. Tasks, actors
 * and `swift_once` do; what does not lets the sanitizer report correct programs. It is called across a library's border,
 * where a preloaded library with the same names comes first. Each function here calls the real one and tells the
 * sanitizer what it has ordered:
 *
 *   Mutex                the slow paths; the fast ones are compiled into the caller, and seen
 *   swift_task_dealloc   what compiled code calls first when an async call has returned. Whoever resumes a continuation
 *                        tells so by the task's address, and a task that was suspended looks there when it runs again; one
 *                        that was resumed before it came to suspend itself does not, and here it is made to
 *
 * `Races.swift` proves that this is enough, and that what nothing orders is still reported.
 *
 * A child process inherits the preload and has no sanitizer: the weak references are null there, and nothing is told.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

static void acquired(void *address) {
  if (__tsan_acquire && address) __tsan_acquire(address);
}

static void releases(void *address) {
  if (__tsan_release) __tsan_release(address);
}

/* The function of that name in the next library; whoever calls its stand-in here has that library loaded. */
static void *next(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  return function;
}

/* Swift's calling convention; `self` is the address of the mutex's word, as the compiled-in fast paths have it. */
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK_SLOW);
SWIFT void lock_slow(uint32_t thread, SELF) {
  SWIFT void (*real)(uint32_t, SELF) = next(LOCK_SLOW);
  real(thread, self);
  acquired(self);
}

SWIFT bool try_lock_slow(SELF) __asm__(TRY_LOCK_SLOW);
SWIFT bool try_lock_slow(SELF) {
  SWIFT bool (*real)(SELF) = next(TRY_LOCK_SLOW);
  bool locked = real(self);
  if (locked) acquired(self);
  return locked;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK_SLOW);
SWIFT void unlock_slow(SELF) {
  SWIFT void (*real)(SELF) = next(UNLOCK_SLOW);
  releases(self);
  real(self);
}

void *swift_task_getCurrent(void) __attribute__((weak));

SWIFT void swift_task_dealloc(void *memory) {
  static SWIFT void (*real)(void *);
  SWIFT void (*known)(void *) = __atomic_load_n(&real, __ATOMIC_RELAXED);
  if (!known) __atomic_store_n(&real, known = next("swift_task_dealloc"), __ATOMIC_RELAXED);
  known(memory);
  if (swift_task_getCurrent) acquired(swift_task_getCurrent());
}
