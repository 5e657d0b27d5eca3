// Decodes one receipt with llama.cpp's libraries for Windows, found as Python's ctypes finds them, and keeps the logits:
//
//     windows_decode LIBRARY MODEL RECEIPT LOGITS
//
// LIBRARY: the code for one kind of CPU, beside llama.cpp's other libraries. RECEIPT: five numbers (tokens before the
// image, its embeddings, tokens behind it, numbers in an embedding, tokens of the answer), then these, 32 bits each.
// LOGITS: what each token of the answer is chosen from. Ends with 3 where this CPU lacks what LIBRARY is made of.
// The sizes of llama.cpp's options, and where a field is in them, come from its Python package by -D.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { UNSUPPORTED = 3, NO_MODEL, FAILED };

typedef struct { _Alignas(8) char bytes[MODEL_PARAMS]; } model_params;
typedef struct { _Alignas(8) char bytes[CONTEXT_PARAMS]; } context_params;
typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
} batch;

static HMODULE llama;
static void *context;

static void require(int holds, int code, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s (Windows' error %lu)\n", what, GetLastError());
    exit(code);
}

static HMODULE load(const char *folder, const char *name) {
    char path[MAX_PATH];
    snprintf(path, sizeof path, "%s\\%s", folder, name);
    HMODULE library = LoadLibraryExA(path, NULL, 0);
    require(library != NULL, FAILED, path);
    return library;
}

static void *find(HMODULE library, const char *name) {
    void *function = (void *)GetProcAddress(library, name);
    require(function != NULL, FAILED, name);
    return function;
}

static void silent(int level, const char *text, void *data) { (void)level, (void)text, (void)data; }

// Token ids, or embeddings where their width is not 0.
static void decode(const void *content, int n, int width, int start) {
    batch (*make)(int32_t, int32_t, int32_t) = find(llama, "llama_batch_init");
    void (*give_back)(batch) = find(llama, "llama_batch_free");
    int32_t (*run)(void *, batch) = find(llama, "llama_decode");
    batch all = make(n, width, 1);
    all.n_tokens = n;
    for (int k = 0; k < n; k++) {
        all.pos[k] = start + k;
        all.n_seq_id[k] = 1;
        all.seq_id[k][0] = 0;
        all.logits[k] = k == n - 1;
    }
    if (width) memcpy(all.embd, content, sizeof(float) * n * width);
    else memcpy(all.token, content, sizeof(int32_t) * n);
    require(run(context, all) == 0, FAILED, "llama_decode");
    give_back(all);
}

static void *open_model(const char *path) {
    model_params (*defaults)(void) = find(llama, "llama_model_default_params");
    void *(*open)(const char *, model_params) = find(llama, "llama_model_load_from_file");
    model_params params = defaults();
    params.bytes[EXTRA_BUFFERS] = 0;
    void *model = open(path, params);
    require(model != NULL, NO_MODEL, path);
    return model;
}

static void *open_context(void *model) {
    context_params (*defaults)(void) = find(llama, "llama_context_default_params");
    void *(*open)(void *, context_params) = find(llama, "llama_init_from_model");
    context_params params = defaults();
    uint32_t positions = 512;
    int32_t threads = 2, fused = 1;
    memcpy(params.bytes + N_CTX, &positions, 4);
    memcpy(params.bytes + N_BATCH, &positions, 4);
    memcpy(params.bytes + N_UBATCH, &positions, 4);
    memcpy(params.bytes + N_THREADS, &threads, 4);
    memcpy(params.bytes + N_THREADS_BATCH, &threads, 4);
    memcpy(params.bytes + FLASH_ATTENTION, &fused, 4);
    return open(model, params);
}

static void *numbers(FILE *file, size_t count) {
    void *found = malloc(4 * count);
    require(fread(found, 4, count, file) == count, FAILED, "the receipt is short");
    return found;
}

int main(int argc, char **argv) {
    require(argc == 5, 2, "windows_decode LIBRARY MODEL RECEIPT LOGITS");
    char folder[MAX_PATH], path[32768];
    snprintf(folder, sizeof folder, "%s", argv[1]);
    *strrchr(folder, '\\') = 0;
    snprintf(path, sizeof path, "%s;%s", folder, getenv("PATH"));
    SetEnvironmentVariableA("PATH", path);  // as llama_cpp does
    llama = load(folder, "libllama.dll");
    void (*log_set)(void *, void *) = find(llama, "llama_log_set");
    log_set((void *)silent, NULL);
    void *(*backend_load)(const char *) = find(load(folder, "ggml.dll"), "ggml_backend_load");
    if (!backend_load(argv[1])) return UNSUPPORTED;

    void *model = open_model(argv[2]);
    context = open_context(model);
    require(context != NULL, FAILED, "llama_init_from_model");
    const void *(*vocabulary)(void *) = find(llama, "llama_model_get_vocab");
    int32_t (*size)(const void *) = find(llama, "llama_vocab_n_tokens");
    float *(*logits)(void *, int32_t) = find(llama, "llama_get_logits_ith");
    int n_vocab = size(vocabulary(model));

    FILE *receipt = fopen(argv[3], "rb"), *out = fopen(argv[4], "wb");
    require(receipt && out, FAILED, argv[3]);
    int32_t *head = numbers(receipt, 5);
    int before = head[0], n_image = head[1], behind = head[2], n_embd = head[3], n_answer = head[4];
    decode(numbers(receipt, before), before, 0, 0);
    decode(numbers(receipt, n_image * n_embd), n_image, n_embd, before);
    decode(numbers(receipt, behind), behind, 0, before + n_image);
    int32_t *answer = numbers(receipt, n_answer);
    for (int k = 0; k < n_answer; k++) {
        if (k) decode(answer + k - 1, 1, 0, before + n_image + behind + k - 1);
        fwrite(logits(context, -1), sizeof(float), n_vocab, out);
    }
    require(fclose(out) == 0, FAILED, argv[4]);
    return 0;
}
