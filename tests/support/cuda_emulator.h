// CUDA on the CPU, for tests: cuda_emulator.py includes it before a source of xpgraph/fast/cuda and compiles both.
//
// Every CUDA thread is a fibre, which runs until it waits or ends. A warp runs until all its lanes wait at a barrier or
// have ended; then the next warp runs. So a kernel without a barrier that it needs reads poison instead of what another
// warp has yet to write.
//
// A few blocks are under way at a time. First, one warp of each of them runs; then the blocks run to their ends, the
// last of them first. So a kernel that counts a block as done before all its warps have written is found out. In a
// shuffled order the blocks take turns at random, from barrier to barrier.
//
// Blocks, warps and lanes run in a given order. Kernels without barriers run as plain loops.
#pragma once
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

extern char __start_xp_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_xp_shared[] __attribute__((weak, visibility("hidden")));

namespace emulated {

enum { MOST_THREADS = 1024, MOST_BLOCKS = 8, LANES = 32, STACK = 1 << 16 };
enum Order { FORWARD, REVERSE, SHUFFLED };
enum Fault { NONE, BAD_SIZE, SPLIT_BARRIER, SPLIT_SHUFFLE, UNEXPECTED_BARRIER, UNFENCED, MISALIGNED, BAD_INDEX };
enum State { READY, AT_BARRIER, AT_SHUFFLE, ENDED };

struct Index {
    unsigned x, y, z;
};

Index thread_index, block_index, block_size, grid_size;
void (*kernel)(void**);
void** arguments;
Fault fault;
bool fibres_run;

unsigned current;  // the fibre that runs; fibres are numbered block by block
ucontext_t scheduler, fibres[MOST_THREADS];
char* stacks;
State state[MOST_THREADS];
int line[MOST_THREADS];          // the source line at which it waits
unsigned turn[MOST_THREADS];     // how many shuffles it has made; odd and even ones use different slots
char slots[2][MOST_THREADS][8];  // the value that it offers in a shuffle

unsigned place;                 // the block that runs, counted among those under way
unsigned numbers[MOST_BLOCKS];  // their block indices
char* shared[MOST_BLOCKS];      // the shared memory of the blocks that do not run now

bool fenced[MOST_THREADS];      // since its block started, or since the block counted itself with atomicAdd
bool counted[MOST_BLOCKS];

Order order;
unsigned long long seed;

void shuffle(unsigned* items, unsigned n) {
    for (unsigned i = n; i > 1; i--) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        const unsigned j = (seed >> 33) % i, kept = items[j];
        items[j] = items[i - 1];
        items[i - 1] = kept;
    }
}

void arrange(unsigned* items, unsigned n) {
    for (unsigned i = 0; i < n; i++) items[i] = order == REVERSE ? n - 1 - i : i;
    if (order == SHUFFLED) shuffle(items, n);
}

void fibre() {
    for (;;) {  // one round for each block
        kernel(arguments);
        state[current] = ENDED;
        swapcontext(&fibres[current], &scheduler);
    }
}

void enter(unsigned i) {
    current = i;
    thread_index.x = i - place * block_size.x;
    swapcontext(&scheduler, &fibres[i]);
}

void wait(State why, int where) {
    if (!fibres_run) {
        fault = UNEXPECTED_BARRIER;
        return;
    }
    state[current] = why;
    line[current] = where;
    swapcontext(&fibres[current], &scheduler);
}

unsigned lane() { return thread_index.x % LANES; }

// A block counts itself as done by an atomicAdd. Each of its threads must call __threadfence before it, for what was
// written, and after it, for what will be read.
bool all_fenced() {
    bool all = true;
    const unsigned start = place * block_size.x;
    for (unsigned t = start; t < start + block_size.x; t++) all &= fenced[t], fenced[t] = false;
    return all;
}

template <typename T>
T exchange(unsigned mask, T value, unsigned from, int where) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    const unsigned me = current, round = turn[me]++ % 2;
    if (mask != 0xffffffffu) fault = SPLIT_SHUFFLE;
    memcpy(slots[round][me], &value, sizeof(T));
    wait(AT_SHUFFLE, where);
    memcpy(&value, slots[round][me - lane() + from], sizeof(T));
    return value;
}

// If fibres from..to all wait for this at one line, they become ready. False if only some wait, or at other lines.
bool released(State why, unsigned from, unsigned to, bool& any) {
    any = false;
    for (unsigned t = from; t < to; t++) any |= state[t] == why;
    for (unsigned t = from; any && t < to; t++)
        if (state[t] != why || line[t] != line[from]) return false;
    for (unsigned t = from; any && t < to; t++) state[t] = READY;
    return true;
}

// Runs one warp until none of its lanes can continue.
bool run_warp(unsigned warp) {
    const unsigned start = place * block_size.x, end = start + block_size.x;
    const unsigned from = start + warp * LANES, to = from + LANES < end ? from + LANES : end;
    unsigned lanes[LANES];
    for (bool shuffling = true; shuffling;) {
        arrange(lanes, LANES);
        for (unsigned l : lanes)
            if (from + l < to && state[from + l] == READY) enter(from + l);
        if (!released(AT_SHUFFLE, from, to, shuffling) || (shuffling && to - from < LANES)) return false;
    }
    return true;
}

// Runs a block to its next barrier: the whole of it, or only its first warp.
Fault run_round(bool whole, bool& waiting) {
    const unsigned n = block_size.x, count = (n + LANES - 1) / LANES;
    unsigned warps[LANES];
    arrange(warps, count);
    for (unsigned w = 0; w < (whole ? count : 1); w++)
        if (!run_warp(warps[w])) return SPLIT_SHUFFLE;
    if (whole && !released(AT_BARRIER, place * n, place * n + n, waiting)) return SPLIT_BARRIER;
    if (whole && !waiting && counted[place] && !all_fenced()) fault = UNFENCED;
    return fault;
}

void switch_to(unsigned next) {
    const size_t size = __stop_xp_shared - __start_xp_shared;
    memcpy(shared[place], __start_xp_shared, size);
    memcpy(__start_xp_shared, shared[next], size);
    place = next;
    block_index.x = numbers[next];
}

// Runs a few blocks that are under way at the same time.
Fault run_blocks(unsigned count) {
    for (unsigned t = 0; t < count * block_size.x; t++) state[t] = READY, turn[t] = 0, fenced[t] = false;
    for (unsigned i = 0; i < count; i++) {  // poison: as a float NaN, as an index or flag wrong
        memset(shared[i], 0xff, __stop_xp_shared - __start_xp_shared);
        counted[i] = false;
    }
    memset(__start_xp_shared, 0xff, __stop_xp_shared - __start_xp_shared);
    bool waiting = true;
    for (unsigned i = 0; i < count && fault == NONE; i++) {
        switch_to(i);
        fault = run_round(false, waiting);
    }
    unsigned turns[MOST_BLOCKS], left = count;
    for (unsigned i = 0; i < count; i++) turns[i] = count - 1 - i;
    while (left && fault == NONE) {  // in a shuffled order, blocks take turns; one that was counted early may end last
        if (order == SHUFFLED) shuffle(turns, left);
        switch_to(turns[0]);
        fault = run_round(true, waiting);
        if (waiting) continue;
        left--;
        for (unsigned i = 0; i < left; i++) turns[i] = turns[i + 1];
    }
    return fault;
}

Fault run_plain() {
    unsigned threads[MOST_THREADS];
    arrange(threads, block_size.x);
    for (unsigned i = 0; i < block_size.x; i++) {
        thread_index.x = threads[i];
        kernel(arguments);
    }
    return fault;
}

int launch(void (*f)(void**), bool barriers, unsigned grid, unsigned block, int how, unsigned long long start,
           void** values) {
    if (grid == 0 || block == 0 || block > MOST_THREADS) return BAD_SIZE;
    kernel = f, arguments = values, fault = NONE, fibres_run = barriers, order = Order(how), seed = start, place = 0;
    block_size = {block, 1, 1}, grid_size = {grid, 1, 1};
    const unsigned fit = MOST_THREADS / block, most = !barriers ? 1 : fit < MOST_BLOCKS ? fit : MOST_BLOCKS;
    if (barriers && !stacks) {
        stacks = (char*)malloc((size_t)STACK * MOST_THREADS);
        for (char*& memory : shared) memory = (char*)malloc(__stop_xp_shared - __start_xp_shared + 1);
    }
    for (unsigned t = 0; barriers && t < most * block; t++) {
        getcontext(&fibres[t]);
        fibres[t].uc_stack.ss_sp = stacks + (size_t)STACK * t;
        fibres[t].uc_stack.ss_size = STACK;
        fibres[t].uc_link = nullptr;
        makecontext(&fibres[t], fibre, 0);
    }
    unsigned* blocks = (unsigned*)malloc(sizeof(unsigned) * grid);
    arrange(blocks, grid);
    const unsigned groups = (grid + most - 1) / most, each = (grid + groups - 1) / groups;  // of equal size
    for (unsigned b = 0; b < grid && fault == NONE; b += each) {
        const unsigned count = grid - b < each ? grid - b : each;
        memcpy(numbers, blocks + b, sizeof(unsigned) * count);
        block_index.x = numbers[0];
        fault = barriers ? run_blocks(count) : run_plain();
    }
    free(blocks);
    return fault;
}

template <typename T>
T add(T* at, T value) {
    static_assert(T(1) / 2 == 0, "floating sums by atomics have no fixed order");
    if (fibres_run && !all_fenced()) fault = UNFENCED;
    counted[place] = true;
    const T before = *at;
    *at = before + value;
    return before;
}

}  // namespace emulated

// Called by -fsanitize=alignment, where a GPU would stop with a misaligned address.
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_type_mismatch_v1(void*, void*) {
    emulated::fault = emulated::MISALIGNED;
}

// Called by -fsanitize=bounds, for local and shared arrays.
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_out_of_bounds(void*, void*) {
    emulated::fault = emulated::BAD_INDEX;
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("xp_shared")))
#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_size
#define gridDim emulated::grid_size
#define __syncthreads() emulated::wait(emulated::AT_BARRIER, __LINE__)
#define __threadfence() ((void)(emulated::fenced[emulated::current] = true))
#define __shfl_sync(mask, value, lane) emulated::exchange(mask, value, (lane) % 32, __LINE__)
#define __shfl_xor_sync(mask, value, m) emulated::exchange(mask, value, emulated::lane() ^ (m), __LINE__)
#define __shfl_down_sync(mask, value, d) \
    emulated::exchange(mask, value, emulated::lane() + (emulated::lane() + (d) < 32 ? (d) : 0), __LINE__)
#define atomicAdd(at, value) emulated::add(at, value)
