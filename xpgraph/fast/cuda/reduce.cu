// Sums over many numbers, in one launch. Their order never depends on which block or warp runs first.

// The sum of f(i) over i = from, from + step, ... < n. Four separate sums keep four loads in flight.
template <typename F>
__device__ inline REAL strided_sum(long long from, long long n, long long step, F f) {
    REAL sum[4] = {0, 0, 0, 0};
    long long i = from;
    for (; i + 3 * step < n; i += 4 * step)
        for (int k = 0; k < 4; k++) sum[k] += f(i + k * step);
    for (; i < n; i += step) sum[0] += f(i);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// out[j] = sum of column j. A block takes 32 columns: thread (lane, side) adds every lanes-th row of one of them, where
// lanes = blockDim / 32. grid = ceil(columns / 32).
extern "C" __global__ void xp_column_sum(const REAL* a, REAL* out, long long rows, long long columns) {
    __shared__ REAL parts[32][32];
    const unsigned side = threadIdx.x % 32, lane = threadIdx.x / 32, lanes = blockDim.x / 32;
    const long long column = blockIdx.x * 32ll + side;
    if (column < columns)
        parts[lane][side] = strided_sum(lane, rows, lanes, [=](long long row) { return a[row * columns + column]; });
    __syncthreads();
    if (lane != 0 || column >= columns) return;
    REAL sum = 0;
    for (unsigned i = 0; i < lanes; i++) sum += parts[i][side];
    out[column] = sum;
}

// norm = sqrt(sum of g² over all pieces); rate = min(1, max_norm / (norm + 1e-6)), NaN if the norm is not finite.
// One block for each piece. Elements are loaded one by one, not as vectors, so that the order of the sum, and with it
// the bits, do not depend on how the arrays are aligned.
extern "C" __global__ void xp_clip_rate(const Piece* pieces, REAL* partials, unsigned* ticket, REAL max_norm,
                                        REAL* rate, REAL* norm) {
    const Piece piece = pieces[blockIdx.x];
    const REAL squares =
        block_sum(strided_sum(threadIdx.x, piece.n, blockDim.x, [=](long long i) { return piece.g[i] * piece.g[i]; }));
    if (threadIdx.x == 0) partials[blockIdx.x] = squares;
    if (!last_block(ticket)) return;
    const REAL total =
        block_sum(strided_sum(threadIdx.x, gridDim.x, blockDim.x, [=](long long i) { return partials[i]; }));
    if (threadIdx.x != 0) return;
    const REAL root = sqrt(total), ratio = max_norm / (root + REAL(1e-6));
    const bool finite = root - root == 0;
    *norm = root;
    *rate = !finite ? REAL(nan("")) : ratio > 1 ? REAL(1) : ratio;
}
