// Softmax with cross-entropy, forward and backward, in one launch: a warp for each row; the last block takes the mean.

// The softmax of one row, held as its largest element and its sum: y_j = e^(x_j - max) / sum.
struct Row {
    const REAL* x;
    long long classes;
    REAL max, sum;

    __device__ REAL y(long long j) const { return exp(x[j] - max) / sum; }
    __device__ REAL surprise(long long j) const { return log(sum) - (x[j] - max); }
};

__device__ inline Row softmax(const REAL* x, long long classes, unsigned lane) {
    Row row = {x, classes, x[0], 0};
    for (long long j = lane; j < classes; j += 32) row.max = fmax(row.max, x[j]);
    for (int mask = 16; mask > 0; mask /= 2) row.max = fmax(row.max, __shfl_xor_sync(0xffffffffu, row.max, mask));
    REAL lost = 0;  // Kahan's sum: with 50,000 classes a lane adds 1,600 terms, and equal terms all round alike
    for (long long j = lane; j < classes; j += 32) {
        const REAL term = exp(x[j] - row.max) - lost, sum = row.sum + term;
        lost = (sum - row.sum) - term;
        row.sum = sum;
    }
    row.sum = warp_sum(row.sum);
    return row;
}

// dx = (y - onehot) / rows; share is 1 / rows. For a label outside the classes, onehot is all 0 and the loss is NaN.
__device__ inline REAL with_label(Row row, long long label, REAL* y, REAL* dx, REAL share, unsigned lane) {
    for (long long j = lane; j < row.classes; j += 32) {
        y[j] = row.y(j);
        dx[j] = (y[j] - (j == label ? 1 : 0)) * share;
    }
    return 0 <= label && label < row.classes ? row.surprise(label) : REAL(nan(""));
}

// dx = (y sum(t) - t) / rows. A class with t = 0 adds nothing to the loss, not even 0 * infinity.
__device__ inline REAL with_probabilities(Row row, const REAL* t, REAL* y, REAL* dx, REAL share, unsigned lane) {
    REAL whole = 0, loss = 0;
    for (long long j = lane; j < row.classes; j += 32) {
        whole += t[j];
        if (t[j] != 0) loss += t[j] * row.surprise(j);
    }
    whole = warp_sum(whole);
    for (long long j = lane; j < row.classes; j += 32) {
        y[j] = row.y(j);
        dx[j] = (y[j] * whole - t[j]) * share;
    }
    return warp_sum(loss);
}

// One of labels and probabilities is null. Blocks consist of whole warps; grid = ceil(rows / warps of a block).
extern "C" __global__ void xp_softmax_cross_entropy(const REAL* x, const long long* labels, const REAL* probabilities,
                                                    REAL* y, REAL* dx, REAL* row_loss, REAL* loss, unsigned* ticket,
                                                    long long rows, long long classes) {
    const unsigned lane = threadIdx.x % 32;
    const long long i = blockIdx.x * (long long)(blockDim.x / 32) + threadIdx.x / 32;
    if (i < rows) {
        const long long at = i * classes;
        const Row row = softmax(x + at, classes, lane);
        const REAL share = REAL(1) / rows;
        const REAL one = labels ? with_label(row, labels[i], y + at, dx + at, share, lane)
                                : with_probabilities(row, probabilities + at, y + at, dx + at, share, lane);
        if (lane == 0) row_loss[i] = one;
    }
    if (!last_block(ticket)) return;
    REAL sum = 0;
    for (long long k = threadIdx.x; k < rows; k += blockDim.x) sum += row_loss[k];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *loss = sum / rows;
}
