// All that a kernel may ask of a GPU. No header of CUDA is included, so that the run-time compiler needs none. With HOST_TWIN
// the same kernels compile as C++ and run on a processor (twin.hpp).
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#ifdef HOST_TWIN
#include "twin.hpp"
#else
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
DEVICE u32 thread_index() { return threadIdx.x; }
DEVICE u32 block_x() { return blockIdx.x; }
DEVICE u32 block_y() { return blockIdx.y; }
DEVICE u32 block_z() { return blockIdx.z; }
DEVICE u32 blocks_x() { return gridDim.x; }
DEVICE void sync_block() { __syncthreads(); }
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
