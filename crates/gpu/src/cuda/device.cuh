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
DEVICE float shuffle_xor(float x, u32 by) { return __shfl_xor_sync(0xffffffffu, x, by); }
DEVICE float exponential(float x) { return expf(x); }
DEVICE float error_function(float x) { return erff(x); }
DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
DEVICE float logarithm(float x) { return logf(x); }
DEVICE float nearest(float x) { return rintf(x); }
DEVICE float square_root(float x) { return sqrtf(x); }
DEVICE float from_half(u16 x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x)); return y; }
DEVICE u16 to_half(float x) { u16 y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
DEVICE float bits(u32 x) { return __uint_as_float(x); }
DEVICE u16 to_bf16(float x) { u16 y; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
// 2^x, to 2 in the last place of f32.
DEVICE float power(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// Shared memory beyond what a declaration may have: the launch says how much.
#define DYNAMIC(name) extern __shared__ __align__(128) unsigned char name[]
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
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." HALF "." HALF ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Two halves as they are stored, the first in the low half.
DEVICE u32 pair(float low, float high) {
    u32 y; asm("cvt.rn." HALF "x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low)); return y;
}
#endif
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
