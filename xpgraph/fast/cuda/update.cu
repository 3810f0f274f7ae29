// One step of an optimizer for all parameters in one launch: one block for each piece.
//
// clip: null, or the factor of every gradient. Without cells (null), the numbers of the rule are the arguments. In a
// captured step, cells are its counters: it is step k = cells[1], and its numbers are row k of the table. So each
// replay can use other numbers, although a graph freezes its arguments.

struct Sgd {
    REAL lr;
    static constexpr int states = 0;
    __device__ void step(REAL& p, REAL g, REAL&, REAL&) const { p -= lr * g; }
};

struct Momentum {
    REAL lr, mu;
    static constexpr int states = 1;
    __device__ void step(REAL& p, REAL g, REAL& v, REAL&) const {
        v = mu * v - lr * g;
        p += v;
    }
};

struct AdaGrad {
    REAL lr, eps;
    static constexpr int states = 1;
    __device__ void step(REAL& p, REAL g, REAL& h, REAL&) const {
        h += g * g;
        p -= lr * g / (sqrt(h) + eps);
    }
};

struct RmsProp {
    REAL lr, rho, one_minus_rho, eps;
    static constexpr int states = 1;
    __device__ void step(REAL& p, REAL g, REAL& h, REAL&) const {
        h = rho * h + one_minus_rho * (g * g);
        p -= lr * g / (sqrt(h) + eps);
    }
};

struct Adam {
    REAL alpha, beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
    static constexpr int states = 2;
    __device__ void step(REAL& p, REAL g, REAL& m, REAL& v) const {
        m = beta1 * m + one_minus_beta1 * g;
        v = beta2 * v + one_minus_beta2 * (g * g);
        p -= alpha * (m / (sqrt(v) + eps));
    }
};

// Updates element i of a piece, whose arrays are read as arrays of REAL or of Vector.
template <typename Rule, typename T>
__device__ inline void update_one(const Rule& rule, const Piece& piece, REAL factor, long long i) {
    constexpr int width = sizeof(T) / sizeof(REAL);
    T p = ((T*)piece.p)[i], g = ((const T*)piece.g)[i], a = {}, b = {};
    if constexpr (Rule::states > 0) a = ((T*)piece.a)[i];
    if constexpr (Rule::states > 1) b = ((T*)piece.b)[i];
    REAL *ps = (REAL*)&p, *gs = (REAL*)&g, *as = (REAL*)&a, *bs = (REAL*)&b;
    for (int k = 0; k < width; k++) rule.step(ps[k], gs[k] * factor, as[k], bs[k]);
    ((T*)piece.p)[i] = p;
    if constexpr (Rule::states > 0) ((T*)piece.a)[i] = a;
    if constexpr (Rule::states > 1) ((T*)piece.b)[i] = b;
}

template <typename Rule>
__device__ inline void update(const Piece* pieces, const Rule& rule, const REAL* clip) {
    const Piece piece = pieces[blockIdx.x];
    const REAL factor = clip ? *clip : REAL(1);
    unsigned long long odd = bits(piece.p) | bits(piece.g);
    if (Rule::states > 0) odd |= bits(piece.a);
    if (Rule::states > 1) odd |= bits(piece.b);
    const long long vectors = odd % VECTOR_BYTES == 0 ? piece.n / WIDTH : 0;
    for (long long i = threadIdx.x; i < vectors; i += blockDim.x) update_one<Rule, Vector>(rule, piece, factor, i);
    for (long long i = vectors * WIDTH + threadIdx.x; i < piece.n; i += blockDim.x)
        update_one<Rule, REAL>(rule, piece, factor, i);
}

// The numbers of this step in the table; null without cells. Block 0 stores the loss and counts the step; cells[1] was
// written by gather.
__device__ inline const REAL* begin(const REAL* table, int numbers, long long* cells, const REAL* loss, REAL* losses) {
    if (!cells) return nullptr;
    const long long k = cells[1];
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        losses[k] = *loss;
        cells[0] = k + 1;
    }
    return table + k * numbers;
}

extern "C" __global__ void xp_sgd(const Piece* pieces, REAL lr, const REAL* clip, const REAL* table, long long* cells,
                                  const REAL* loss, REAL* losses) {
    const REAL* row = begin(table, 1, cells, loss, losses);
    update(pieces, row ? Sgd{row[0]} : Sgd{lr}, clip);
}

extern "C" __global__ void xp_momentum(const Piece* pieces, REAL lr, REAL mu, const REAL* clip, const REAL* table,
                                       long long* cells, const REAL* loss, REAL* losses) {
    const REAL* row = begin(table, 2, cells, loss, losses);
    update(pieces, row ? Momentum{row[0], row[1]} : Momentum{lr, mu}, clip);
}

extern "C" __global__ void xp_adagrad(const Piece* pieces, REAL lr, REAL eps, const REAL* clip, const REAL* table,
                                      long long* cells, const REAL* loss, REAL* losses) {
    const REAL* row = begin(table, 2, cells, loss, losses);
    update(pieces, row ? AdaGrad{row[0], row[1]} : AdaGrad{lr, eps}, clip);
}

extern "C" __global__ void xp_rmsprop(const Piece* pieces, REAL lr, REAL rho, REAL one_minus_rho, REAL eps,
                                      const REAL* clip, const REAL* table, long long* cells, const REAL* loss,
                                      REAL* losses) {
    const REAL* row = begin(table, 4, cells, loss, losses);
    update(pieces, row ? RmsProp{row[0], row[1], row[2], row[3]} : RmsProp{lr, rho, one_minus_rho, eps}, clip);
}

extern "C" __global__ void xp_adam(const Piece* pieces, REAL alpha, REAL beta1, REAL one_minus_beta1, REAL beta2,
                                   REAL one_minus_beta2, REAL eps, const REAL* clip, const REAL* table,
                                   long long* cells, const REAL* loss, REAL* losses) {
    const REAL* row = begin(table, 6, cells, loss, losses);
    update(pieces,
           row ? Adam{row[0], row[1], row[2], row[3], row[4], row[5]}
               : Adam{alpha, beta1, one_minus_beta1, beta2, one_minus_beta2, eps},
           clip);
}
