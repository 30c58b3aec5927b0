// Runs kernels on a processor: one block at a time, every thread a fiber that gives way at a barrier. A barrier that not all
// threads of a block reach is an error, as it is on a GPU.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ucontext.h>
#include <vector>
#define KERNEL static void
#define DEVICE static inline
#define SHARED(type, name, count) alignas(16) static type name[count]
namespace twin {
struct Fiber { ucontext_t context; std::vector<char> stack = std::vector<char>(1 << 16); bool done = false; };
static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static std::function<void()> body;
static u32 current, index_x, index_y, index_z, count_x, waiting, round;
static void yield() { swapcontext(&fibers[current].context, &scheduler); }
static void entry() { body(); fibers[current].done = true; yield(); }
static void block(u32 threads) {
    waiting = round = 0;
    for (auto &f : fibers) {
        f.done = false;
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, entry, 0);
    }
    for (u32 left = threads, turns = 0; left > 0; turns++) {
        const u32 before = left, begun = round;
        for (current = 0; current < threads; current++) {
            if (fibers[current].done) continue;
            swapcontext(&scheduler, &fibers[current].context);
            left -= fibers[current].done;
        }
        if (left == before && round == begun && turns > 0) {
            fprintf(stderr, "a barrier that %u of %u threads reach\n", waiting, threads);
            exit(1);
        }
    }
}
static void run(u32 x, u32 y, u32 z, u32 threads, std::function<void()> kernel) {
    body = kernel;
    fibers = std::vector<Fiber>(threads);
    count_x = x;
    for (index_z = 0; index_z < z; index_z++)
        for (index_y = 0; index_y < y; index_y++)
            for (index_x = 0; index_x < x; index_x++) block(threads);
}
}
DEVICE u32 thread_index() { return twin::current; }
DEVICE u32 block_x() { return twin::index_x; }
DEVICE u32 block_y() { return twin::index_y; }
DEVICE u32 block_z() { return twin::index_z; }
DEVICE u32 blocks_x() { return twin::count_x; }
DEVICE void sync_block() {
    const u32 round = twin::round;
    if (++twin::waiting == twin::fibers.size()) { twin::waiting = 0; twin::round++; }
    else while (twin::round == round) twin::yield();
}
DEVICE float exponential(float x) { return std::exp(x); }
DEVICE float error_function(float x) { return std::erf(x); }
DEVICE float hyperbolic_tangent(float x) { return std::tanh(x); }
DEVICE float logarithm(float x) { return std::log(x); }
DEVICE float nearest(float x) { return std::nearbyint(x); }
DEVICE float square_root(float x) { return std::sqrt(x); }
DEVICE float bits(u32 x) { float y; std::memcpy(&y, &x, 4); return y; }
DEVICE u32 word(float x) { u32 y; std::memcpy(&y, &x, 4); return y; }
DEVICE u16 to_bf16(float x) {
    const u32 y = word(x);
    return x != x ? 0x7fc0 : (u16)((y + 0x7fff + (y >> 16 & 1)) >> 16);
}
DEVICE float from_half(u16 x) {
    const u32 sign = (u32)(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 1023;
    if (exponent == 31) return bits(sign | 0x7f800000 | fraction << 13);
    const float small = std::ldexp((float)fraction, -24);
    return exponent == 0 ? (sign ? -small : small) : bits(sign | (exponent + 112) << 23 | fraction << 13);
}
DEVICE u16 to_half(float x) {
    const u16 sign = (u16)(word(x) >> 16 & 0x8000);
    const float a = std::fabs(x);
    if (a != a) return 0x7e00;
    if (a >= 65520.0f) return sign | 0x7c00;
    // The default rounding is to the nearest, ties to even.
    const int exponent = std::max(a == 0.0f ? -24 : std::ilogb(a), -14);
    const u32 units = (u32)std::nearbyint(std::ldexp(a, 10 - exponent));
    // Units of a normal number hold its leading one, which makes the exponent one larger.
    return sign | (u16)(units + ((u32)(exponent + 14) << 10));
}
