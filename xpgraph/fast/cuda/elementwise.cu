// The activations and their gradients, written in z = e^-|x| so that nothing overflows; and the bias of Affine.
// Any grid will do: each thread starts at its index in the grid and goes on by the number of threads in the grid.

__device__ inline long long first() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }

__device__ inline long long stride() { return gridDim.x * (long long)blockDim.x; }

extern "C" __global__ void xp_sigmoid(const REAL* x, REAL* y, long long n) {
    for (long long i = first(); i < n; i += stride()) {
        const REAL z = exp(-fabs(x[i]));
        y[i] = (x[i] >= 0 ? 1 : z) / (1 + z);
    }
}

extern "C" __global__ void xp_sigmoid_grad(const REAL* dy, const REAL* x, REAL* dx, long long n) {
    for (long long i = first(); i < n; i += stride()) {
        const REAL z = exp(-fabs(x[i])), s = 1 + z;
        dx[i] = dy[i] * (z / (s * s));
    }
}

// NaN stays NaN, because it is not <= 0.
extern "C" __global__ void xp_relu(const REAL* x, REAL* y, long long n) {
    for (long long i = first(); i < n; i += stride()) y[i] = x[i] <= 0 ? 0 : x[i];
}

extern "C" __global__ void xp_relu_grad(const REAL* dy, const REAL* x, REAL* dx, long long n) {
    for (long long i = first(); i < n; i += stride()) dx[i] = x[i] <= 0 ? 0 : dy[i];
}

extern "C" __global__ void xp_tanh(const REAL* x, REAL* y, long long n) {
    for (long long i = first(); i < n; i += stride()) y[i] = tanh(x[i]);
}

extern "C" __global__ void xp_tanh_grad(const REAL* dy, const REAL* x, REAL* dx, long long n) {
    for (long long i = first(); i < n; i += stride()) {
        const REAL z = exp(-2 * fabs(x[i])), s = 1 + z;
        dx[i] = dy[i] * (4 * z / (s * s));
    }
}

// y += b for every row of y, a rows x columns matrix.
extern "C" __global__ void xp_add_bias(REAL* y, const REAL* b, long long rows, long long columns) {
    const long long n = rows * columns;
    if (first() >= n) return;
    long long column = first() % columns;
    const long long step = stride() % columns;  // two divisions for each thread, not one for each element
    for (long long i = first(); i < n; i += stride()) {
        y[i] += b[column];
        column += step;
        if (column >= columns) column -= columns;
    }
}
