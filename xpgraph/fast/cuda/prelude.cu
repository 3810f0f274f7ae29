// What the kernels share; compiled before every source. REAL is float or double (-DREAL). No header is included.

// A piece of one parameter p, of its gradient g and of the states a, b of the rule: 40 bytes, written by update.py.
struct Piece {
    REAL* p;
    const REAL* g;
    REAL* a;
    REAL* b;
    long long n;
};

// The most that one thread reads or writes at once.
enum { VECTOR_BYTES = 16, WIDTH = VECTOR_BYTES / sizeof(REAL) };

struct alignas(VECTOR_BYTES) Vector {
    REAL v[WIDTH];
};

// The bits of an address: their lowest tell how it is aligned.
__device__ inline unsigned long long bits(const void* pointer) { return (unsigned long long)pointer; }

// The sum over the 32 lanes of a warp. Every lane gets the same bits, because a + b and b + a are equal.
__device__ inline REAL warp_sum(REAL value) {
    for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
    return value;
}

// The sum over a block of whole warps, returned to every thread of it.
__device__ inline REAL block_sum(REAL value) {
    __shared__ REAL parts[32];
    value = warp_sum(value);
    __syncthreads();  // an earlier block_sum may still be read by other warps
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; warp++) value += parts[warp];
    return value;
}

// Is this the last block of the grid to get here? If so, it can read everything that the others wrote before.
// ticket: a counter, 0 between launches.
__device__ inline bool last_block(unsigned* ticket) {
    __shared__ unsigned last;
    __threadfence();  // what this thread wrote must be visible before its block is counted
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(ticket, 1u) == gridDim.x - 1;
        if (last) *ticket = 0;  // for the next launch
    }
    __syncthreads();
    __threadfence();  // nothing may be read before all blocks are counted
    return last != 0;
}
