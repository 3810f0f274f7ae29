// The rows of a batch, copied from the whole data set on the device: inputs x and labels t, one block for each row.

struct alignas(16) Sixteen {
    unsigned long long a, b;
};

template <typename Word>
__device__ inline void copy(const char* from, char* to, long long bytes) {
    const long long words = bytes / (long long)sizeof(Word);
    for (long long i = threadIdx.x; i < words; i += blockDim.x) ((Word*)to)[i] = ((const Word*)from)[i];
}

// Copies in the widest words to which both addresses and the length are aligned.
__device__ inline void copy_row(const char* from, char* to, long long bytes) {
    const unsigned long long odd = bits(from) | bits(to) | (unsigned long long)bytes;
    if (odd % 16 == 0)
        copy<Sixteen>(from, to, bytes);
    else if (odd % 8 == 0)
        copy<unsigned long long>(from, to, bytes);
    else if (odd % 4 == 0)
        copy<unsigned>(from, to, bytes);
    else
        copy<char>(from, to, bytes);
}

// Row r of bx and bt becomes row order[start + r] of x and t. Without cells (null), start is 0. In a captured step,
// cells are its counters: start = cells[0] * size, and cells[1] = cells[0] tells the update which step this is.
extern "C" __global__ void xp_gather(const char* x, char* bx, long long x_bytes, const char* t, char* bt,
                                     long long t_bytes, const long long* order, long long size, long long count,
                                     long long* cells) {
    const long long start = cells ? cells[0] * size : 0;
    if (cells && blockIdx.x == 0 && threadIdx.x == 0) cells[1] = cells[0];
    for (long long r = blockIdx.x; r < count; r += gridDim.x) {
        const long long row = order[start + r];
        copy_row(x + row * x_bytes, bx + r * x_bytes, x_bytes);
        copy_row(t + row * t_bytes, bt + r * t_bytes, t_bytes);
    }
}
