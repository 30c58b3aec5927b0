// Runs kernels on a processor: one block at a time, every thread a fiber that gives way at a barrier. A barrier that not all
// threads of a block reach is an error, as it is on a GPU. What a warp does together is done when its lanes are there; a copy is
// made when it is waited for, no sooner.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ucontext.h>
#include <vector>
#define KERNEL static void
#define BOUNDED(threads, blocks)
#define DEVICE static inline
#define SHARED(type, name, count) alignas(16) static type name[count]
#define DYNAMIC(name) alignas(1024) static unsigned char name[DYNAMIC_BYTES]
namespace twin {
struct Copy { void *to; const void *from; };
struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
    bool done = false;
    std::vector<std::vector<Copy>> copies;
};
struct Warp { int arrived = 0; u32 round = 0; u32 in[32][10]; const void *address[32]; u32 out[32][4]; };
static std::vector<Fiber> fibers;
struct Group { int arrived = 0; u32 round = 0; float *sums[128]; };
static std::vector<Warp> warps;
static std::vector<Group> groups;
static ucontext_t scheduler;
static std::function<void()> body;
static u32 current, index_x, index_y, index_z, count_x, waiting, round;
static void yield() { swapcontext(&fibers[current].context, &scheduler); }
static void entry() { body(); fibers[current].done = true; yield(); }
static void block(u32 threads) {
    waiting = round = 0;
    warps.assign((threads + 31) / 32, Warp());
    groups.assign((threads + 127) / 128, Group());
    for (auto &f : fibers) {
        f.done = false;
        f.copies.assign(1, {});
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, entry, 0);
    }
    for (u32 left = threads, turns = 0; left > 0; turns++) {
        const u32 before = left;
        u32 begun = round, now = 0;
        for (auto &w : warps) begun += w.round;
        for (auto &g : groups) begun += g.round;
        for (current = 0; current < threads; current++) {
            if (fibers[current].done) continue;
            swapcontext(&scheduler, &fibers[current].context);
            left -= fibers[current].done;
        }
        now = round;
        for (auto &w : warps) now += w.round;
        for (auto &g : groups) now += g.round;
        if (left == before && now == begun && turns > 0) {
            fprintf(stderr, "a barrier that %u of %u threads reach, or a part of a warp\n", waiting, threads);
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
DEVICE float inverse(float x) { return 1.0f / x; }
DEVICE int dot_bytes(u32 a, u32 b, int c) {
    for (u32 i = 0; i < 32; i += 8) c += (int)(signed char)(a >> i) * (signed char)(b >> i);
    return c;
}
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
DEVICE float power(float x) { return std::exp2(x); }
namespace twin {
// All lanes of a warp meet; the last computes for all.
template <class W, class F> static void together(W &w, int lanes, F compute) {
    const u32 round = w.round;
    if (++w.arrived == lanes) { w.arrived = 0; compute(w); w.round++; }
    else while (w.round == round) yield();
}
template <class F> static void together(F compute) { together(warps[current / 32], 32, compute); }
static void tiles(u32 (&r)[4], const void *p, bool transposed) {
    const u32 lane = current % 32;
    warps[current / 32].address[lane] = p;
    together([&](Warp &w) {
        for (u32 l = 0; l < 32; l++) for (u32 m = 0; m < 4; m++) {
            u16 two[2];
            for (u32 e = 0; e < 2; e++) {
                const u32 row = transposed ? 2 * (l % 4) + e : l / 4, column = transposed ? l / 4 : 2 * (l % 4) + e;
                if ((u64)w.address[8 * m + row] % 16 != 0) { fprintf(stderr, "a tile's row that is not aligned\n"); exit(1); }
                two[e] = ((const u16 *)w.address[8 * m + row])[column];
            }
            w.out[l][m] = (u32)two[1] << 16 | two[0];
        }
    });
    std::memcpy(r, warps[current / 32].out[lane], 16);
}
}
DEVICE void sync_warp() { twin::together([](twin::Warp &) {}); }
DEVICE float shuffle_xor(float x, u32 by) {
    const u32 lane = twin::current % 32;
    twin::warps[twin::current / 32].in[lane][0] = word(x);
    twin::together([&](twin::Warp &w) { for (u32 l = 0; l < 32; l++) w.out[l][0] = w.in[l ^ by][0]; });
    return bits(twin::warps[twin::current / 32].out[lane][0]);
}
DEVICE void copy_16(void *to, const void *from, bool inside) {
    if ((u64)to % 16 != 0 || (inside && (u64)from % 16 != 0)) { fprintf(stderr, "a copy that is not aligned\n"); exit(1); }
    twin::fibers[twin::current].copies.back().push_back({to, inside ? from : nullptr});
}
DEVICE void end_copies() { twin::fibers[twin::current].copies.emplace_back(); }
template <int LEFT> DEVICE void await_copies() {
    auto &groups = twin::fibers[twin::current].copies;
    // The last group has not ended.
    while (groups.size() > LEFT + 1) {
        for (const auto &copy : groups.front()) {
            if (copy.from) std::memcpy(copy.to, copy.from, 16);
            else std::memset(copy.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}
DEVICE void read_tiles(u32 (&r)[4], const void *p) { twin::tiles(r, p, false); }
DEVICE void read_tiles_transposed(u32 (&r)[4], const void *p) { twin::tiles(r, p, true); }
#if defined(F16)
DEVICE float from_stored(u16 x) { return from_half(x); }
DEVICE u32 pair(float low, float high) { return (u32)to_half(high) << 16 | to_half(low); }
#else
DEVICE float from_stored(u16 x) { return bits((u32)x << 16); }
DEVICE u32 pair(float low, float high) { return (u32)to_bf16(high) << 16 | to_bf16(low); }
#endif
DEVICE void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    const u32 lane = twin::current % 32;
    u32 *in = twin::warps[twin::current / 32].in[lane];
    std::memcpy(in, a, 16);
    in[4] = b0;
    in[5] = b1;
    std::memcpy(in + 6, c, 16);
    twin::together([&](twin::Warp &w) {
        float left[16][16], right[16][8];
        for (u32 i = 0; i < 16; i++) for (u32 k = 0; k < 16; k++)
            left[i][k] = from_stored((u16)(w.in[i % 8 * 4 + k % 8 / 2][i / 8 + 2 * (k / 8)] >> 16 * (k % 2)));
        for (u32 k = 0; k < 16; k++) for (u32 j = 0; j < 8; j++)
            right[k][j] = from_stored((u16)(w.in[j * 4 + k % 8 / 2][4 + k / 8] >> 16 * (k % 2)));
        for (u32 l = 0; l < 32; l++) for (u32 e = 0; e < 4; e++) {
            const u32 i = l / 4 + 8 * (e / 2), j = 2 * (l % 4) + e % 2;
            float sum = bits(w.in[l][6 + e]);
            for (u32 k = 0; k < 16; k++) sum += left[i][k] * right[k][j];
            w.out[l][e] = word(sum);
        }
    });
    std::memcpy(c, twin::warps[twin::current / 32].out[lane], 16);
}
#if defined(GROUPS)
constexpr bool FOURS = true;
#else
constexpr bool FOURS = false;
#endif
DEVICE u64 tiles_at(const void *p) { return (u64)p; }
DEVICE void keep_order() {}
DEVICE void show_copies() {}
DEVICE void begin_products() {}
DEVICE void end_products() {}
template <int N> DEVICE void multiply_add_group(float (&c)[N][4], u64 a, u64 b) {
    twin::Group &group = twin::groups[twin::current / 128];
    group.sums[twin::current % 128] = &c[0][0];
    twin::together(group, 128, [&](twin::Group &g) {
        auto number = [](u64 base, u32 row, u32 k) {
            u64 at = base + row * 128 + k * 2;
            at ^= (at >> 7 & 7) << 4;
            return from_stored(*(const u16 *)at);
        };
        for (u32 l = 0; l < 128; l++) for (u32 j = 0; j < N; j++) for (u32 e = 0; e < 4; e++) {
            const u32 row = l / 32 * 16 + l % 32 / 4 + 8 * (e / 2), column = 8 * j + 2 * (l % 4) + e % 2;
            for (u32 k = 0; k < 16; k++) g.sums[l][4 * j + e] += number(a, row, k) * number(b, column, k);
        }
    });
}
