// All that a kernel may ask of a GPU. No header of CUDA is included, so that the run-time compiler needs none. With HOST_TWIN
// the same kernels compile as C++ and run on a processor (twin.hpp).
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#ifdef HOST_TWIN
#include "twin.hpp"
#else
#define KERNEL extern "C" __global__ void
#define BOUNDED(threads, blocks) __launch_bounds__(threads, blocks)
#define DEVICE static __device__ __forceinline__
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
DEVICE u32 thread_index() { return threadIdx.x; }
DEVICE u32 block_x() { return blockIdx.x; }
DEVICE u32 block_y() { return blockIdx.y; }
DEVICE u32 block_z() { return blockIdx.z; }
DEVICE u32 blocks_x() { return gridDim.x; }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }
DEVICE void keep_order() { asm volatile("" ::: "memory"); }
DEVICE float shuffle_xor(float x, u32 by) { return __shfl_xor_sync(0xffffffffu, x, by); }
DEVICE float exponential(float x) { return expf(x); }
DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
DEVICE float logarithm(float x) { return logf(x); }
DEVICE float nearest(float x) { return rintf(x); }
DEVICE float square_root(float x) { return sqrtf(x); }
DEVICE float from_half(u16 x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x)); return y; }
DEVICE u16 to_half(float x) { u16 y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
DEVICE float bits(u32 x) { return __uint_as_float(x); }
DEVICE u16 to_bf16(float x) { u16 y; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
DEVICE float inverse(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// c and the products of four signed bytes each.
DEVICE int dot_bytes(u32 a, u32 b, int c) { int y; asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(c)); return y; }
// 2^x, to 2 in the last place of f32.
DEVICE float power(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// Shared memory beyond what a declaration may have: the launch says how much.
#define DYNAMIC(name) extern __shared__ __align__(1024) unsigned char name[]
DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }
// Copies 16 bytes to shared memory while the thread goes on; zeros where they are not `inside`, and then nothing is read.
DEVICE void copy_16(void *to, const void *from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(shared_address(to)), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
// Ends a group of copies. Waits for all groups of this thread but the last LEFT.
DEVICE void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> DEVICE void await_copies() { asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory"); }
// A warp reads four 8 x 8 tiles of halves, whose rows are at its lanes' addresses: lane l has of each the numbers 2 (l % 4) and
// the next of row l / 4, or the same of the tiles transposed.
DEVICE void read_tiles(u32 (&r)[4], const void *p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)) : "memory");
}
DEVICE void read_tiles_transposed(u32 (&r)[4], const void *p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)) : "memory");
}
#if defined(F16)
#define HALF "f16"
#else
#define HALF "bf16"
#endif
// c += a b, of 16 x 16 and 16 x 8 halves, by the whole warp.
DEVICE void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32." HALF "." HALF ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Hopper's own: four warps multiply 64 x 16 by 16 x 8 N halves that both lie in shared memory, in the order that `place` of
// tensor_tile.cu gives, while the warps go on.
#if defined(GROUPS) && defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool FOURS = true;
DEVICE u64 tiles_at(const void *p) {
    // The address, 1024 bytes from eight rows to the next, and the order of 128 bytes; all in units of 16 bytes.
    return (u64)((shared_address(p) & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62;
}
// By each thread, between its copies and a barrier before the products that read them.
DEVICE void show_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void end_products() { asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory"); }
#define SUM(c, i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define SUMS(c, i) SUM(c, i), SUM(c, i + 1), SUM(c, i + 2), SUM(c, i + 3)
#define NAMES_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
DEVICE void multiply_add_group(float (&c)[8][4], u64 a, u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." HALF "." HALF " {" NAMES_32 "}, %32, %33, 1, 1, 1, 0, 0;"
                 : SUMS(c, 0), SUMS(c, 4) : "l"(a), "l"(b));
}
DEVICE void multiply_add_group(float (&c)[16][4], u64 a, u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." HALF "." HALF " {" NAMES_32 ", "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, 1, 1, 1, 0, 0;"
                 : SUMS(c, 0), SUMS(c, 4), SUMS(c, 8), SUMS(c, 12) : "l"(a), "l"(b));
}
#else
constexpr bool FOURS = false;
DEVICE u64 tiles_at(const void *) { return 0; }
DEVICE void show_copies() {}
DEVICE void begin_products() {}
DEVICE void end_products() {}
#endif
// A tile that no product of four warps has: asked for where there are none.
template <int N> DEVICE void multiply_add_group(float (&)[N][4], u64, u64) {}
// Two halves as they are stored, the first in the low half.
DEVICE u32 pair(float low, float high) {
    u32 y; asm("cvt.rn." HALF "x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low)); return y;
}
#endif
// Of f32, to its last places; of halves, to 2e-7 (Abramowitz and Stegun 7.1.26).
DEVICE float error_function(float x) {
#if defined(F32)
    return erff(x);
#else
    const float a = x < 0.0f ? -x : x, t = inverse(1.0f + 0.3275911f * a);
    const float y = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    const float e = 1.0f - y * power(-1.44269504f * a * a);
    return x < 0.0f ? -e : e;
#endif
}
// A number as it is stored.
#if defined(F32)
typedef float T;
DEVICE float load(T x) { return x; }
DEVICE T store(float x) { return x; }
#elif defined(F16)
typedef u16 T;
DEVICE float load(T x) { return from_half(x); }
DEVICE T store(float x) { return to_half(x); }
#else
typedef u16 T;
DEVICE float load(T x) { return bits((u32)x << 16); }
DEVICE T store(float x) { return to_bf16(x); }
#endif
// Numbers that are loaded and stored at once, at addresses that are a multiple of their size.
constexpr u32 TOGETHER = 16 / sizeof(T);
struct alignas(16) Sixteen { T of[TOGETHER]; };
struct alignas(4 * sizeof(T)) Four { T of[4]; };
struct alignas(2 * sizeof(T)) Two { T of[2]; };
